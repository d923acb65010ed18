"""What is written of a record, and what can't be."""

from __future__ import annotations

from dataclasses import fields, replace

import msgspec
import pytest

from gateway.audit_log import (
    Action,
    AuditRecord,
    By,
    OfId,
    OfRelease,
    OfRevocation,
    OfSubject,
    Outcome,
    Target,
    code_of,
)
from gateway.audit_log.lines import MAX_LINE_BYTES, Call, read_line
from gateway.audit_log.written import TEXT_CHARS, Marks, written
from gateway.auth.revocation import Kind, Revocation
from gateway.errors import BadField, NotAllowed, NotAuthenticated, Reason, RevocationsUnknown
from gateway.release.standing import told
from gateway.types import Principal, RequestId
from tests.gateway.audit_log.support import ADMIN, KEY, MARKS, ROOT, record

CANARY = "zurvexil plimsol"


def line(of: AuditRecord, marks: Marks = MARKS) -> dict[str, object]:
    sealed = KEY.seal(
        Call(**written(of, marks), n=1, before="0" * 64, time="2026-11-22T00:00:00.000+00:00", instance="i")
    )
    read_line(sealed)
    found = msgspec.json.decode(sealed)
    assert isinstance(found, dict)
    return {key: value for key, value in found.items() if key not in ("kind", "n", "before", "time", "instance", "mac")}


def test_a_record_says_who_what_and_on_what() -> None:
    assert line(record()) == {
        "request_id": "req_0001",
        "action": "revoke",
        "outcome": "asked",
        "by": "token",
        "issuer": "https://issuer.test",
        "tenant": "acme",
        "subject": "vexlo",
        "role": "security",
        "address": "192.0.2.0/24",
        "revocation": Revocation(Kind.SUBJECT, "kipmora", "https://issuer.test", "acme").id,
        "revokes": "subject",
        "target_issuer": "https://issuer.test",
        "target_tenant": "acme",
        "target_mark": MARKS.subject("https://issuer.test", "acme", "kipmora"),
    }


def test_who_administrates_may_be_a_mark_who_is_revoked_always_is() -> None:
    hashed = line(record(), Marks.of(ROOT, "hashed", "off"))
    assert hashed["subject"] == MARKS.subject(ADMIN.issuer, ADMIN.tenant, ADMIN.subject)
    assert "address" not in hashed
    assert "kipmora" not in str(line(record()))


@pytest.mark.parametrize("kind", [Kind.TOKEN_ID, Kind.SUBJECT])
def test_what_a_revocation_names_of_a_person_is_no_text(kind: Kind) -> None:
    target = OfRevocation(Revocation(kind, CANARY, "https://issuer.test", "acme", 1_700_000_000.5))
    found = line(replace(record(), target=target))
    assert CANARY not in str(found)
    assert (found["revokes"], found["issued_before"]) == (kind.value, 1_700_000_000.5)


def test_a_role_and_a_release_are_named() -> None:
    assert line(replace(record(), target=OfRevocation(Revocation(Kind.ROLE, "support"))))["target_role"] == "support"
    found = line(replace(record(), target=OfRelease("assistant", "2026-11", "2026-10")))
    assert (found["model"], found["release"], found["release_before"]) == ("assistant", "2026-11", "2026-10")
    shares = OfRelease("assistant", "blue=9+green=1", "blue", "https://issuer.test", "acme", "support")
    found = line(replace(record(), target=shares))
    assert (found["release"], found["target_tenant"], found["target_role"]) == ("blue=9+green=1", "acme", "support")
    person = line(replace(record(), target=OfSubject("https://issuer.test", "acme", CANARY)))
    assert CANARY not in str(person)
    assert len(str(person["target_mark"])) == 16


def test_several_releases_are_named_with_their_shares_as_many_as_there_is_room_for() -> None:
    months = {f"release-of-{month:02d}-2031-with-a-long-name": 1000 for month in range(1, 13)}
    said = [line(switched(shares))["release"] for shares in (months, {f"{CANARY} x": 1, "blue": 1})]
    assert str(said[0]).startswith("release-of-01-2031-with-a-long-name=1000+release-of-02-")
    assert (len(str(said[0])), said[1]) == (TEXT_CHARS, "blue=1+unprintable")


def switched(shares: dict[str, int]) -> AuditRecord:
    target = OfRelease("assistant", told(shares))
    return AuditRecord(Action.SWITCH_RELEASE, Outcome.DONE, By.COMMAND, RequestId("r"), target=target)


def test_an_id_that_can_be_none_is_not_written() -> None:
    assert line(replace(record(), target=OfId("0123456789abcdef")))["revocation"] == "0123456789abcdef"
    for text in (CANARY, "0123456789ABCDEF", "0" * 17, "", "٠" * 16):
        assert "revocation" not in line(replace(record(), target=OfId(text)))


def test_text_that_is_no_name_is_not_written() -> None:
    spoiled = AuditRecord(
        Action.RELOAD_POLICY,
        Outcome.FAILED,
        By.FILE,
        RequestId(CANARY),
        address=CANARY,
        target=OfRelease(CANARY, CANARY, CANARY),
        code=CANARY,
        policy_before=CANARY,
        policy_after=CANARY,
    )
    found = line(spoiled)
    assert CANARY not in str(found)
    assert (found["code"], found["model"], found["policy_before"]) == ("other", "unprintable", "unprintable")


def test_every_text_of_a_record_is_looked_at() -> None:
    """A new one has to be put into the test before this."""
    assert {each.name for each in fields(AuditRecord)} == {
        *("action", "outcome", "by", "request_id", "principal", "address", "target", "code"),
        *("policy_before", "policy_after", "count"),
    }


def test_codes_are_a_closed_set() -> None:
    def of(code: str) -> object:
        return line(replace(record(), outcome=Outcome.REFUSED, code=code))["code"]

    for code in (*Reason, code_of(NotAllowed()), code_of(RevocationsUnknown())):
        assert of(code) == code
    assert code_of(NotAuthenticated(Reason.AUDIENCE)) == "audience"
    assert of(code_of(BadField("zurvexil"))) == "invalid_value"
    assert of("zurvexil") == "other"


def test_names_of_issuers_keep_their_characters_and_nothing_unprintable() -> None:
    odd = Principal("https://发行者.test", "acme\n", "王芳\ud800" + "长" * 300, None, "security", 0.0)
    found = line(replace(record(), principal=odd))
    assert (found["issuer"], found["tenant"]) == ("https://发行者.test", "acme?")
    assert found["subject"] == "王芳?" + "长" * 253


WIDEST = "𝔘" * 300


@pytest.mark.parametrize(
    "target",
    [
        OfRevocation(Revocation(Kind.ROLE, WIDEST, WIDEST, WIDEST)),
        OfRelease("m" * 64, "+".join(["r" * 64] * 9), "+".join(["b" * 64] * 9), WIDEST[:128], "t" * 64, "r" * 64),
    ],
)
def test_the_longest_record_is_a_line(target: Target) -> None:
    widest = WIDEST
    who = Principal(widest, widest, widest, None, widest, 0.0)
    raw = KEY.seal(
        Call(
            **written(replace(record(), principal=who, target=target), MARKS),
            n=1 << 53,
            before="0" * 64,
            time="2026-11-22T00:00:00.000+00:00",
            instance="i" * 64,
        )
    )
    read_line(raw)
    assert len(raw) <= MAX_LINE_BYTES


def test_what_contradicts_itself_is_no_record() -> None:
    with pytest.raises(ValueError, match="good token"):
        replace(record(), by=By.NOBODY)
    with pytest.raises(ValueError, match="good token"):
        replace(record(), principal=None)
    with pytest.raises(ValueError, match="has a code"):
        replace(record(), outcome=Outcome.REFUSED)
    with pytest.raises(ValueError, match="has a code"):
        replace(record(), code=NotAllowed.code)
