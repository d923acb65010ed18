"""Whatever is done to a recorded stream on its way, the client notices, however the bytes are cut."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.encryption.answers import AnswerSealer
from gateway.encryption.compact import OpenedRequest, open_request
from gateway.encryption.keys import public_members, read_key
from gateway.http.envelope import COMMENT, Sealed
from tests.support.encryption import own, pinned, private_jwk, public_jwk
from tightlip_client import Altered, CutOff, FrameMissing, FrameRepeated, GatewayKeys, NotTheGateway, PlainAnswer
from tightlip_client.protocol import Events, Exchange

PATH = "/v1/chat/completions"
FRAMES = [b'{"delta":"%d"}' % number for number in range(5)] + [b"[DONE]"]
PLAIN = b"".join(b"data: %s\n\n" % frame for frame in FRAMES)
KEY = read_key(private_jwk("gateway-1"), private=True)
CLIENT = read_key(public_jwk("client-1"), private=False)


def asked(keys: GatewayKeys | None = None) -> tuple[Exchange, OpenedRequest]:
    exchange = Exchange(keys or pinned(), "gateway-1", [own()])
    message = exchange.seal(b"{}", token="t", path=PATH)
    return exchange, open_request(message.encode(), lambda _kid: KEY)


def answered(request: OpenedRequest) -> list[bytes]:
    """The frames of an answer, each as it goes over the wire."""
    envelope = Sealed(AnswerSealer(request, CLIENT))
    return [bytes(envelope.events([frame], last=frame == FRAMES[-1])) for frame in FRAMES]


EXCHANGE, REQUEST = asked()
ONE, OTHER = answered(REQUEST), answered(REQUEST)  # two answers to one request
STRANGE = answered(asked()[1])


def again() -> Exchange:
    """The client, who has sent the request and seen nothing yet."""
    fresh = Exchange(pinned(), "gateway-1", [own()])
    fresh._secret, fresh._digest = EXCHANGE._secret, EXCHANGE._digest
    return fresh


def read(data: bytes, cuts: list[int] | None = None) -> bytes:
    """What the client gives out. Raises NotTheGateway."""
    events, out = Events(again()), b""
    for start, end in itertools.pairwise([0, *sorted(cuts or ()), len(data)]):
        out += b"".join(events.feed(data[start:end]))
    events.close()
    return out


@given(st.lists(st.integers(0, len(b"".join(ONE))), max_size=20), st.lists(st.integers(0, len(ONE)), max_size=3))
def test_any_cutting_gives_the_same(cuts: list[int], comments: list[int]) -> None:
    wire = list(ONE)
    for at in comments:
        wire.insert(at, COMMENT)
    assert read(b"".join(wire), [min(cut, len(b"".join(wire))) for cut in cuts]) == PLAIN


def read_into(given_out: list[bytes], wire: list[bytes]) -> None:
    events = Events(again())
    for piece in wire:
        for opened in events.feed(piece):
            given_out.append(opened)  # noqa: PERF402 - what was given out before an error counts
    events.close()


@st.composite
def tampered(draw: st.DrawFn) -> list[bytes]:
    wire = list(ONE)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(wire) - 1))
        what = draw(st.sampled_from(["drop", "repeat", "swap", "alter", "cut", "other", "strange", "plain"]))
        if what == "drop" and len(wire) > 1:
            del wire[at]
        elif what == "repeat":
            wire.insert(draw(st.integers(at, len(wire))), wire[at])
        elif what == "swap":
            to = draw(st.integers(0, len(wire) - 1))
            wire[at], wire[to] = wire[to], wire[at]
        elif what == "alter":
            frame = wire[at]
            place = draw(st.integers(6, max(6, len(frame) - 3)))
            wire[at] = frame[:place] + draw(st.sampled_from([b"A", b"b", b"."])) + frame[place + 1 :]
        elif what == "cut":
            wire[-1] = wire[-1][: draw(st.integers(0, max(0, len(wire[-1]) - 3)))]
        elif what in ("other", "strange"):
            wire[at] = (OTHER if what == "other" else STRANGE)[min(at, len(ONE) - 1)]
        else:
            wire.insert(at, b'data: {"delta":"mine"}\n\n')
    return wire


@given(tampered())
def test_whatever_is_done_to_a_stream_is_noticed(wire: list[bytes]) -> None:
    if b"".join(wire) == b"".join(ONE):
        return  # what was done was undone
    given_out: list[bytes] = []
    with pytest.raises(NotTheGateway):
        read_into(given_out, wire)
    assert PLAIN.startswith(b"".join(given_out))  # what came before is genuine, and in order


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        ([], CutOff),
        (ONE[:-1], CutOff),
        ([*ONE[:2], *ONE[3:]], FrameMissing),
        (ONE[1:], FrameMissing),
        ([*ONE[:2], ONE[1], *ONE[2:]], FrameRepeated),
        ([*ONE, ONE[-1]], FrameRepeated),
        ([ONE[0], ONE[2], ONE[1], *ONE[3:]], FrameMissing),
        ([ONE[0], *OTHER[1:]], Altered),
        (STRANGE, Altered),
        ([ONE[0], b'data: {"error":{}}\n\n'], Altered),
        ([ONE[0], b"event: done\n\n"], PlainAnswer),
    ],
)
def test_each_has_its_own_error(wire: list[bytes], error: type[NotTheGateway]) -> None:
    with pytest.raises(error):
        read(b"".join(wire))


def test_after_an_error_nothing_is_opened_any_more() -> None:
    events = Events(again())
    with pytest.raises(FrameMissing):
        list(events.feed(ONE[1]))
    for frame in ONE:
        with pytest.raises(NotTheGateway):
            list(events.feed(frame))
    with pytest.raises(CutOff):
        events.close()


def test_an_answer_to_another_client_says_nothing() -> None:
    """Who has the token, the request's secret even, and not the key."""
    thief = Exchange(pinned(), "gateway-1", [own("client-2")])
    thief._secret, thief._digest = EXCHANGE._secret, EXCHANGE._digest
    with pytest.raises(Altered):
        list(Events(thief).feed(ONE[0]))


def test_a_forger_who_knows_the_clients_public_key_is_noticed() -> None:
    import dataclasses

    forged = AnswerSealer(dataclasses.replace(REQUEST, secret=b"\0" * 32), CLIENT)
    with pytest.raises(Altered):
        again().open(forged.seal(b"{}", 200, last=True))


def test_no_nonce_comes_twice() -> None:
    frames = [frame.removeprefix(b"data: ").split(b".") for answer in (ONE, OTHER, STRANGE) for frame in answer]
    assert len({frame[2] for frame in frames}) == len(frames)
    assert all(frame[1] == b"" for frame in frames)  # `dir`: one agreement, in the first frame's header


def test_the_newest_key_is_told_under_the_seal() -> None:
    newest: dict[str, Any] = public_members(read_key(private_jwk("gateway-2"), private=True)) | {"kid": "gateway-2"}
    keys = pinned()
    exchange, request = asked(keys)
    exchange.open(AnswerSealer(request, CLIENT, newest).seal(b"{}", 200, last=True))
    assert keys.kids == ("gateway-2", "gateway-1")


def test_nothing_is_sealed_after_the_end() -> None:
    sealer = AnswerSealer(REQUEST, CLIENT)
    sealer.seal(b"{}", 200, last=True)
    with pytest.raises(RuntimeError):
        sealer.seal(b"{}", 200, last=True)
