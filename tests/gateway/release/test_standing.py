"""Which release answers whom: fixed cases, and sequences against a model that is too simple to be wrong."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.revocation import Kind, Revocation
from gateway.auth.revocation import understood as as_revocation
from gateway.errors import ReleaseWithdrawn
from gateway.observe.logs import RequestRecord
from gateway.release.standing import EVERYBODY, ID_PREFIX, Choice, Scope, Standing, Withdrawal, choice_id, understood
from gateway.types import Principal, Release, RequestId

ALICE = Principal("idp", "acme", "alice", None, "customer", 2e9)
BLUE, GREEN = Release("assistant", "blue"), Release("assistant", "green")


def learnt(*said: Choice | Withdrawal) -> Standing:
    standing = Standing()
    for each in said:
        assert standing.learn(each.id, each.written(), None)
    return standing


def chosen(standing: Standing, principal: Principal = ALICE, model: str = "assistant") -> str | None:
    choice = standing.choice(model, principal)
    return choice.drawn(principal) if choice else None


def choice(release: str = "green", *, model: str = "assistant", scope: Scope = EVERYBODY, revision: int = 1) -> Choice:
    return Choice(model=model, shares={release: 1}, revision=revision, **scope._asdict())


def test_where_nobody_has_chosen_there_is_no_choice() -> None:
    assert chosen(Standing()) is None
    assert chosen(learnt(choice(model="second"))) is None


def test_the_narrowest_choice_counts() -> None:
    scopes = [Scope(), Scope(role="customer"), Scope("idp", "acme"), Scope("idp", "acme", "customer")]
    standing = learnt(*(choice(f"of-{number}", scope=scope) for number, scope in enumerate(scopes)))
    assert chosen(standing) == "of-3"
    assert chosen(standing, replace(ALICE, role="support")) == "of-2"
    assert chosen(standing, replace(ALICE, tenant="globex")) == "of-1"
    assert chosen(standing, replace(ALICE, issuer="other")) == "of-1"
    assert chosen(standing, replace(ALICE, tenant="globex", role="support")) == "of-0"
    assert standing.choices("assistant")[0].scope == EVERYBODY
    for number in (3, 2, 1, 0):
        assert chosen(standing) == f"of-{number}"
        standing.drop(choice_id("assistant", scopes[number]))
    assert chosen(standing) is None
    assert list(standing) == []


def test_a_later_choice_about_the_same_takes_the_place_of_the_first() -> None:
    standing = learnt(choice("green"), choice("blue"))
    assert chosen(standing) == "blue"
    assert len(list(standing)) == 1


def test_shares_are_kept_and_a_caller_stays_where_he_is() -> None:
    callers = [replace(ALICE, subject=f"s-{number}") for number in range(4000)]
    counted, before = [], set[Principal]()
    for green in (5, 20, 60):
        found = Choice(model="assistant", shares={"blue": 100 - green, "green": green})
        on_green = {each for each in callers if found.drawn(each) == "green"}
        counted.append(len(on_green) / len(callers))
        assert before <= on_green
        before = on_green
    assert counted == pytest.approx([0.05, 0.2, 0.6], abs=0.03)


def test_of_two_models_a_caller_is_drawn_apart() -> None:
    """Or the same callers would try everything that is new."""
    callers = [replace(ALICE, subject=f"s-{number}") for number in range(400)]
    drawn = Counter(
        tuple(Choice(model=model, shares={"blue": 1, "green": 1}).drawn(each) for model in ("one", "two"))
        for each in callers
    )
    assert len(drawn) == 4
    assert min(drawn.values()) > 50


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10_000), min_size=1, max_size=5),
    st.text(max_size=8),
)
def test_whoever_he_is_he_gets_one_of_them(shares: dict[str, int], subject: str) -> None:
    found = Choice(model="assistant", shares=shares)
    assert found.drawn(replace(ALICE, subject=subject)) in shares
    assert sum(map(found.part, shares)) == pytest.approx(1.0)
    assert understood(found.written()) == found


@pytest.mark.parametrize(
    "fields",
    [{"shares": {}}, {"shares": {"blue": 0}}, {"shares": {"blue": 10_001}}, {"shares": {"blue": 1}, "tenant": "acme"}],
)
def test_what_means_nothing_is_no_choice(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"needs one release|is one of an issuer"):
        Choice(model="assistant", **fields)  # type: ignore[arg-type]
    assert understood(json.dumps({"kind": "choice", "model": "assistant"} | fields)) is None


def test_a_withdrawal_ends_the_requests_of_that_release_alone() -> None:
    def record(model: str | None, release: str | None) -> RequestRecord:
        return RequestRecord(RequestId("r"), 0.0, 0.0, model=model, release=release)

    standing = learnt(Withdrawal(model="assistant", release="blue"))
    assert isinstance(standing.objection(record("assistant", "blue")), ReleaseWithdrawn)
    for model, release in (("assistant", "green"), ("second", "blue"), ("assistant", None), (None, None)):
        assert standing.objection(record(model, release)) is None
    assert (standing.is_withdrawn(BLUE), standing.is_withdrawn(GREEN)) == (True, False)
    assert standing.withdrawn("assistant") == ["blue"]
    standing.drop(Withdrawal(model="assistant", release="blue").id)
    assert standing.objection(record("assistant", "blue")) is None


def test_what_a_newer_version_says_is_understood_only_where_it_can_be_obeyed() -> None:
    """A choice with a condition that is not known here would be about more than it says; a withdrawal refuses more."""
    newer = json.loads(choice().written()) | {"region": "eu"}
    assert not Standing().learn(choice().id, json.dumps(newer), None)
    withdrawal = Withdrawal(model="assistant", release="blue")
    standing = Standing()
    assert standing.learn(withdrawal.id, json.dumps(json.loads(withdrawal.written()) | {"region": "eu"}), None)
    assert standing.is_withdrawn(BLUE)


def test_an_entry_under_another_s_id_is_not_taken() -> None:
    assert not Standing().learn(choice(model="second").id, choice().written(), None)


def test_neither_kind_is_taken_for_the_other() -> None:
    """A version that knows of revocations alone does not understand what is said of releases, and says so."""
    for said in (choice(), Withdrawal(model="assistant", release="blue")):
        assert as_revocation(said.written()) is None
        assert said.id.startswith(ID_PREFIX)
    assert understood(Revocation(Kind.ROLE, "customer").written()) is None


def test_of_a_choice_the_later_revision_is_ahead() -> None:
    standing = learnt(choice("green", revision=3))
    entry_id = choice().id
    assert standing.is_ahead(entry_id, choice("blue", revision=2).written())
    assert not standing.is_ahead(entry_id, choice("blue", revision=3).written())
    assert not standing.is_ahead(entry_id, "{}")
    assert not standing.is_ahead("unknown", choice().written())


RELEASES = st.sampled_from(["blue", "green", "red"])
SCOPES = st.sampled_from([Scope(), Scope(role="customer"), Scope("idp", "acme"), Scope("idp", "acme", "customer")])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("switch"), SCOPES, RELEASES),
        st.tuples(st.just("unswitch"), SCOPES, RELEASES),
        st.tuples(st.just("withdraw"), SCOPES, RELEASES),
        st.tuples(st.just("reinstate"), SCOPES, RELEASES),
    ),
    max_size=30,
)


@given(STEPS, st.randoms())
def test_in_whatever_order_entries_are_read_the_last_of_each_counts(steps: list[tuple[str, Scope, str]], rng) -> None:  # type: ignore[no-untyped-def]
    """A replica that followed every step, and one that reads what is left of them in any order, agree with a table."""
    followed, table, withdrawn = Standing(), dict[Scope, str](), set[str]()
    for step, scope, release in steps:
        withdrawal = Withdrawal(model="assistant", release=release)
        if step == "switch":
            said = choice(release, scope=scope)
            followed.learn(said.id, said.written(), None)
            table[scope] = release
        elif step == "unswitch":
            followed.drop(choice_id("assistant", scope))
            table.pop(scope, None)
        elif step == "withdraw":
            followed.learn(withdrawal.id, withdrawal.written(), None)
            withdrawn.add(release)
        else:
            followed.drop(withdrawal.id)
            withdrawn.discard(release)
    ids = list(followed)
    rng.shuffle(ids)
    late = Standing()
    for entry_id in ids:
        assert late.learn(entry_id, *followed.written(entry_id))
    order = [Scope("idp", "acme", "customer"), Scope("idp", "acme"), Scope(role="customer"), Scope()]
    expected = next((table[scope] for scope in order if scope in table), None)
    for standing in (followed, late):
        assert chosen(standing) == expected
        assert standing.withdrawn("assistant") == sorted(withdrawn)
