"""What a token costs: good ones of every algorithm, and the hostile ones of the vectors beside them.

python -m tests.bench.bench_tokens [--rounds 5] [--json FILE]

Process CPU of `tokens.verify` alone, without the cache, the best of the rounds. The worst that the vectors do not hold,
a token of the greatest length that names no key, for an issuer with as many keys as are
tried then, is measured too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from gateway.auth.issuers import Verifier
from gateway.auth.keys import MAX_TRIED, KeySet
from gateway.auth.tokens import MAX_TOKEN_CHARS, Issuers, verify
from gateway.errors import NotAuthenticated
from tests.gateway.hostile_tokens import CASES, issuers_of, token_of
from tests.gateway.support import CLAIMS, ISSUER, NOW, key_of, make_issuer, make_token

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
CALLS = 50  # of one round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    good = {name: best(options.rounds, *good_token(name)) for name in ALGORITHMS}
    usual = good["ES256"]
    hostile = {case["name"]: best(options.rounds, token_of(case), issuers_of(case)) for case in CASES}
    slowest = sorted(hostile, key=lambda name: -hostile[name])
    extremes = {
        "good, ES256, 6 KB": best(options.rounds, *good_token("ES256", 4300)),
        "good, ES256, remembered": remembered(options.rounds),
        f"longest, {MAX_TRIED} keys, no kid": best(options.rounds, *longest()),
    }
    for name, cost in (*good.items(), *extremes.items()):
        print(f"{name:40} {cost * 1e6:8.1f} µs")
    print(f"hostile, {len(hostile)}: median {sorted(hostile.values())[len(hostile) // 2] * 1e6:.1f} µs; slowest:")
    for name in slowest[:8]:
        print(f"  {name:50} {hostile[name] * 1e6:8.1f} µs  {hostile[name] / usual:5.2f} of a good ES256 token")
    if options.json:
        options.json.write_text(json.dumps({"good": good, "hostile": hostile, "extremes": extremes}, indent=1))


def good_token(algorithm: str, padding: int = 0) -> tuple[str, Issuers]:
    name = "RS256" if algorithm[:2] in ("RS", "PS") else algorithm
    issuer = make_issuer(algorithms=frozenset({algorithm}), keys=KeySet((key_of(name, algorithm, kid="k"),)))
    claims = CLAIMS | {"x": "a" * padding}
    return make_token({"alg": algorithm, "kid": "k"}, claims, key=name, algorithm=algorithm), {ISSUER: issuer}


def longest() -> tuple[str, Issuers]:
    keys = KeySet(tuple(key_of(f"ES256/{number}", "ES256") for number in range(MAX_TRIED)))
    token = make_token({"alg": "ES256"}, CLAIMS | {"x": "a" * (MAX_TOKEN_CHARS * 3 // 4 - 400)})
    assert len(token) <= MAX_TOKEN_CHARS
    return token, {ISSUER: make_issuer(keys=keys)}


def remembered(rounds: int) -> float:
    token, issuers = good_token("ES256")
    verifier = Verifier(issuers, now=lambda: float(NOW))
    return timed(rounds, lambda: verifier.verify(token))


def best(rounds: int, token: str, issuers: Issuers) -> float:
    """Seconds for one verification."""

    def once() -> None:
        try:
            verify(token, issuers, NOW)
        except NotAuthenticated:
            return

    return timed(rounds, once)


def timed(rounds: int, work: Callable[[], object]) -> float:
    costs = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(CALLS):
            work()
        costs.append((time.process_time() - started) / CALLS)
    return min(costs)


if __name__ == "__main__":
    main()
