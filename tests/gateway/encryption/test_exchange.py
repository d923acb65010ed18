"""The recorded exchange, by which clients in other languages go, still reads as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.encryption.compact import credentials_hash, open_request
from gateway.encryption.keys import read_key
from gateway.jose import decoded
from tests.support.encryption import jwks
from tightlip_client import GatewayKeys, PrivateKey
from tightlip_client.protocol import Exchange

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent.parent / "vectors" / "encryption_exchange.json").read_text("utf-8")
)


def test_the_gateway_reads_the_request() -> None:
    key = read_key(RECORDED["gateway"], private=True)
    opened = open_request(RECORDED["request"].encode(), {RECORDED["gateway"]["kid"]: key}.get)
    assert opened.body.decode() == RECORDED["body"]
    assert opened.secret == decoded(RECORDED["secret"])
    assert opened.head.credentials == credentials_hash(RECORDED["token"])
    assert (opened.head.path, opened.head.answer_kid) == (RECORDED["path"], RECORDED["client"]["kid"])


def client() -> tuple[Exchange, GatewayKeys]:
    import hashlib

    keys = GatewayKeys(jwks({name: value for name, value in RECORDED["gateway"].items() if name != "d"}))
    exchange = Exchange(keys, RECORDED["gateway"]["kid"], [PrivateKey.from_jwk(RECORDED["client"])])
    exchange._secret = decoded(RECORDED["secret"])
    exchange._digest = hashlib.sha256(RECORDED["request"].encode()).digest()
    return exchange, keys


def test_the_helper_reads_the_answers() -> None:
    stream, keys = client()
    assert [stream.open(each["frame"]).decode() for each in RECORDED["stream"]] == [
        each["text"] for each in RECORDED["stream"]
    ]
    stream.close()
    assert (stream.status, keys.kids[0]) == (200, RECORDED["next"])
    whole, _ = client()
    assert whole.open(RECORDED["whole"]["frame"]).decode() == RECORDED["whole"]["text"]
    whole.close()
    assert whole.status == RECORDED["whole"]["status"]
