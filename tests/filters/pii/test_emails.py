"""Where an e-mail address begins and ends."""

from __future__ import annotations

import pytest

from filters.normalise import normalise
from filters.pii.emails import Emails
from filters.pii.view import View


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("vexlo@example.com.", ["vexlo@example.com"]),
        ("vexlo@example.com.Then", ["vexlo@example.com"]),
        ("<vexlo@example.com>", ["vexlo@example.com"]),
        ("'vexlo@example.com'", ["vexlo@example.com"]),
        ("mailto:vexlo@example.com?subject=x", ["vexlo@example.com"]),
        ('"vexlo tamber"@example.com', ['"vexlo tamber"@example.com']),
        ("vexlo @ example . com", ["vexlo @ example . com"]),
        ("a@example.com,b@example.org", ["a@example.com", "b@example.org"]),
        ("邮箱vexlo@example.com吗", ["vexlo@example.com"]),
        ("张三@example.com", ["张三@example.com"]),
        ("josé@exämple.com", ["josé@exämple.com"]),
        ("root@[10.20.30.40]", ["root@[10.20.30.40]"]),
        ("x@intern.plimsol.zzz", ["x@intern.plimsol.zzz"]),
        ("vexlo [at] example [dot] com", ["vexlo [at] example [dot] com"]),
        ("@property and foo@bar", []),
        ("look at that dot and see", []),
        ("a@b", []),
        ("@example.com", []),
    ],
)
def test_addresses(text: str, addresses: list[str]) -> None:
    assert [text[span.start : span.end] for span in Emails().find(View(normalise(text).text))] == addresses
