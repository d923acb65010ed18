"""Secrets by form and by label."""

from __future__ import annotations

import pytest

from filters.normalise import normalise
from filters.pii.secrets import Secrets
from filters.pii.view import View


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key AKIAIOSFODNN7EXAMPLE.", "AKIAIOSFODNN7EXAMPLE"),
        ("令牌glpat-x7Q2mN4kLp9ZtR5vB1sD", "glpat-x7Q2mN4kLp9ZtR5vB1sD"),
        ("xoxb-123456789012-abcdefABCDEF", "xoxb-123456789012-abcdefABCDEF"),
        ("redis://:p4ss-vexlo@cache.internal:6379/0", "redis://:p4ss-vexlo@cache.internal:6379/0"),
        ("Server=db;User Id=sa;Password=p4ss-vexlo;", "p4ss-vexlo"),
        ("https://example.com/?password=p4ss-vexlo&x=1", "p4ss-vexlo"),
        ("密码：vexlo2024，", "vexlo2024"),
        ("The password is hunter2-vexlo", "hunter2-vexlo"),
        ('"api_key": "a8f5f167f44f4964"', "a8f5f167f44f4964"),
    ],
)
def test_found(text: str, secret: str) -> None:
    assert secret in {text[span.start : span.end] for span in Secrets().find(View(normalise(text).text))}


@pytest.mark.parametrize(
    "text",
    [
        "password: required",
        "The token is a unit of text",
        "密码是必填项",
        "https://example.com:8080/path",
        "password: [SECRET_1]",
        "a secret kept well",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_not_found(text: str) -> None:
    assert list(Secrets().find(View(normalise(text).text))) == []
