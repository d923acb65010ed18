"""What payload encryption costs: CPU of a request, of the one key agreement of an answer, and of each of its frames.

PYTHONPATH=clients/python python -m tests.bench.bench_encryption [--rounds 5] [--json FILE]

Process CPU of one thread, the best of the rounds; a frame has the size of one that brings a word or two.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from gateway.encryption.answers import AnswerSealer
from gateway.encryption.compact import Key, OpenedRequest, open_request
from gateway.encryption.keys import read_key
from gateway.http.envelope import PLAIN, Sealed
from tests.support.encryption import jwks, private_jwk, public_jwk
from tightlip_client import GatewayKeys, PrivateKey
from tightlip_client.protocol import Exchange

PATH = "/v1/chat/completions"
FRAME = b'{"id":"chatcmpl-%s","object":"chat.completion.chunk","choices":[{"delta":{"content":" word"}}]}' % (b"0" * 96)
BODY = b"x" * 2000
LARGE = b"x" * (1 << 20)
CALLS = 200  # of one round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {
        f"{curve}: {name}": cost for curve in ("P-256", "X25519") for name, cost in costs(curve, options.rounds).items()
    }
    for name, cost in found.items():
        print(f"{name:55} {cost * 1e6:9.1f} µs")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def costs(curve: str, rounds: int) -> dict[str, float]:
    key = read_key(private_jwk(f"gateway-{curve}", curve), private=True)
    client = read_key(public_jwk(f"client-{curve}", curve), private=False)
    gateway = GatewayKeys(jwks(public_jwk(f"gateway-{curve}", curve)))
    own = PrivateKey.from_jwk(private_jwk(f"client-{curve}", curve))

    def asked(body: bytes) -> tuple[Exchange, bytes]:
        exchange = Exchange(gateway, gateway.kids[0], [own])
        return exchange, exchange.seal(body, token="t", path=PATH).encode()

    message, large = asked(BODY)[1], asked(LARGE)[1]
    opened = opener(key, message)()
    envelope = Sealed(AnswerSealer(opened, client))
    return {
        "a request of 2 KB decrypted": best(rounds, opener(key, message)),
        "a request of 1 MiB decrypted": best(rounds, opener(key, large), 20),
        "an answer's key agreement": best(rounds, lambda: AnswerSealer(opened, client)),
        f"a frame of {len(FRAME)} bytes sealed": best(rounds, lambda: envelope.events([FRAME])),
        "the same in the plain": best(rounds, lambda: PLAIN.events([FRAME])),
        "the helper: a request of 2 KB encrypted": best(rounds, lambda: asked(BODY)),
        "the helper: a frame opened": reading(rounds, asked, key, client),
    }


def opener(key: Key, message: bytes) -> Callable[[], OpenedRequest]:
    return lambda: open_request(message, lambda _kid: key)


def reading(rounds: int, asked: Callable[[bytes], tuple[Exchange, bytes]], key: Key, client: Key) -> float:
    """Each frame can be opened once: a stream of them for each round."""
    took = []
    for _ in range(rounds):
        exchange, message = asked(BODY)
        sealer = AnswerSealer(opener(key, message)(), client)
        frames = [sealer.seal(FRAME, 200, last=False) for _ in range(CALLS + 1)]
        exchange.open(frames[0])
        began = time.process_time()
        for frame in frames[1:]:
            exchange.open(frame)
        took.append((time.process_time() - began) / CALLS)
    return min(took)


def best(rounds: int, work: Callable[[], object], calls: int = CALLS) -> float:
    """Seconds of one call."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            work()
        took.append((time.process_time() - began) / calls)
    return min(took)


if __name__ == "__main__":
    main()
