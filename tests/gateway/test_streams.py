"""A tenant's role's answers at once, by model."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

from gateway.errors import RoleBusy
from gateway.streams import Streams
from tests.gateway.support import make_grant


def test_a_role_has_so_many_answers_of_a_model_at_once() -> None:
    streams, grant = Streams(), make_grant(max_streams=2)
    someone = grant.principal
    elsewhere = replace(someone, role="support"), replace(someone, tenant="other"), replace(someone, issuer="other")
    others = replace(grant, model="second"), *(replace(grant, principal=each) for each in elsewhere)
    with ExitStack() as stack:
        stack.enter_context(streams.one(grant))
        with streams.one(grant):
            for other in others:
                stack.enter_context(streams.one(other))
            with pytest.raises(RoleBusy) as busy, streams.one(grant):
                pass
        with streams.one(grant):
            pass
    assert (busy.value.status, busy.value.code) == (429, "rate_limit_exceeded")


def test_an_answer_that_fails_makes_room() -> None:
    streams, grant = Streams(), make_grant(max_streams=1)
    with pytest.raises(ZeroDivisionError), streams.one(grant):
        raise ZeroDivisionError
    with streams.one(grant):
        pass


def test_without_a_number_there_is_none() -> None:
    streams, grant = Streams(), make_grant()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(streams.one(grant))
