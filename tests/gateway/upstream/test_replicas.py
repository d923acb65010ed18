"""Which replica takes the next call: never an ejected one, nor one that has to check out and has not."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.replicas import FAILURES, MOST, Checked, Fleet, Replica

URLS = ("http://a.test", "http://b.test", "http://c.test")


def fleet(*urls: str) -> Fleet:
    made = Fleet()
    for url in urls:
        made.found(url, [url])
    return made


def choose(fleet: Fleet, checked: Checked | None = None, *tried: Replica) -> Replica | None:
    return fleet.choose(URLS, checked, tried, alone=False)


def test_equals_take_turns() -> None:
    three = fleet(*URLS)
    turns = [choose(three) for _ in range(6)]
    assert [replica.url for replica in turns if replica] == [*URLS, *URLS]


def test_failures_eject_only_in_a_row() -> None:
    one = fleet(URLS[0])
    (replica,) = one.of(URLS)
    for _ in range(FAILURES - 1):
        one.failed(replica)
    one.answered(replica)
    for _ in range(FAILURES - 1):
        one.failed(replica)
    assert choose(one) is replica
    one.failed(replica)
    assert choose(one) is None
    one.answered(replica)  # a call that had begun before
    assert choose(one) is None
    one.back(replica)
    assert choose(one) is replica


def ejected(of: Fleet, at: int = 0) -> Replica:
    replica = of.of(URLS)[at]
    for _ in range(FAILURES):
        of.failed(replica)
    assert replica.ejected
    return replica


def test_who_is_back_gets_one_call_at_a_time_until_one_is_answered() -> None:
    two = fleet(*URLS[:2])
    replica, other = ejected(two), two.of(URLS)[1]
    two.back(replica)
    with two.busy(other), two.busy(other):
        assert choose(two) is replica, "the one with fewer"
        with two.busy(replica):
            assert [choose(two) for _ in range(3)] == [other] * 3
            assert choose(two, None, other) is replica, "there is nobody else"
            two.answered(replica)
            assert choose(two) is replica


def test_who_is_back_and_fails_is_gone_again_at_once() -> None:
    two = fleet(*URLS[:2])
    replica = ejected(two)
    two.back(replica)
    two.failed(replica)
    assert replica.ejected
    two.back(replica)
    two.answered(replica)
    two.failed(replica)
    assert not replica.ejected


def test_who_is_alone_is_called_whatever_is_known_of_him() -> None:
    one = fleet(URLS[0])
    (replica,) = one.of(URLS)
    for _ in range(FAILURES):
        one.failed(replica)
    assert one.choose(URLS, None, (), alone=True) is replica
    assert one.choose(URLS, None, {replica}, alone=True) is None, "once for each call"


def test_a_check_counts_for_one_life_and_its_grace() -> None:
    time = 0.0
    two, checked = fleet(*URLS[:2]), Checked(10.0, lambda: time)
    first, second = two.of(URLS)
    assert choose(two, checked) is None
    checked.good(first, since=0.0)
    assert checked.bad(second)
    assert not checked.bad(second), "is not new"
    assert [choose(two, checked) for _ in range(3)] == [first] * 3
    time = 10.1
    assert choose(two, checked) is None
    checked.good(first, since=time)
    two.back(first)
    assert choose(two, checked) is None, "another process may stand there now"


def test_those_that_a_name_stands_for_come_and_go() -> None:
    told: list[tuple[str, int, bool]] = []
    named = Fleet(lambda replica: told.append((replica.at, replica.slot, replica.gone)))
    named.found("http://name", ["http://10.0.0.1", "http://10.0.0.2"])
    first, second = named.of(["http://name"])
    named.found("http://name", [])
    assert named.of(["http://name"]) == [first, second], "a look-up that fails takes nobody away"
    with named.busy(first):
        named.found("http://name", ["http://10.0.0.3", "http://10.0.0.2"])
        assert {replica.at for replica in named.of(["http://name"])} == {"http://10.0.0.2", "http://10.0.0.3"}
        told.clear()
    named.failed(first)
    assert not told, "what is gone is not told of: its slot is another's"
    assert {replica.slot for replica in named.of(["http://name"])} == {0, 1}
    named.found("http://name", [f"http://10.0.1.{at}" for at in range(MOST + 9)])
    assert {replica.slot for replica in named.of(["http://name"])} == set(range(MOST))


CALLS = st.lists(
    st.tuples(st.sampled_from(["call", "end", "fail", "answer", "back", "check"]), st.integers(0, 2)), max_size=60
)


@given(CALLS, st.booleans())
def test_no_call_goes_where_it_must_not_while_another_could_take_it(
    steps: list[tuple[str, int]], has_to_check: bool
) -> None:
    three, running = fleet(*URLS), [ExitStack() for _ in URLS]
    checked = Checked(1e9, lambda: 0.0) if has_to_check else None
    replicas = three.of(URLS)
    for step, at in steps:
        replica = replicas[at]
        if step == "call":
            fit = [each for each in replicas if not each.ejected and (checked is None or each in checked)]
            chosen = choose(three, checked)
            assert (chosen in fit) if fit else chosen is None
            if chosen is not None:
                assert chosen.outstanding == min(each.outstanding for each in fit)
                running[replicas.index(chosen)].enter_context(three.busy(chosen))
        elif step == "end":
            running[at].close()
            assert replica.outstanding == 0
        elif step == "check" and checked is not None:
            checked.good(replica, since=0.0)
        elif step == "back" and replica.ejected:
            three.back(replica)
            assert checked is None or replica not in checked
        elif step == "fail":
            three.failed(replica)
        elif step == "answer":
            three.answered(replica)
    for each in running:
        each.close()
    assert [each.outstanding for each in replicas] == [0, 0, 0]
