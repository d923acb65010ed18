"""Keys, tokens and passwords: those with a form of their own, and whatever a label calls one.

Forms are the issuers' published prefixes. JWT: RFC 7519. PEM: RFC 7468.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import regex

from filters.pii.view import View, label, scan
from filters.spans import Span


@dataclass(frozen=True, slots=True)
class Form:
    """`pattern` runs only where one of `signs` (lower case) stands in the text. Group 1, if any, is the value."""

    signs: tuple[str, ...]
    pattern: Any


_LEFT = r"(?<![A-Za-z0-9])"
_FORMS = (
    Form(("akia", "asia", "abia", "acca"), regex.compile(_LEFT + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}")),
    Form(
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        regex.compile(r"gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{22,255}"),
    ),
    Form(("glpat-", "gldt-", "glrt-"), regex.compile(r"gl(?:pat|dt|rt)-[\w-]{16,64}")),
    Form(("xox",), regex.compile(r"xox[abeoprs]-[A-Za-z0-9-]{10,255}")),
    Form(("eyj",), regex.compile(_LEFT + r"eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){0,3}")),
    Form(("aiza",), regex.compile(_LEFT + r"AIza[\w-]{35}")),
    Form(
        ("sk-", "sk_", "rk_", "pk_live"),
        regex.compile(_LEFT + r"(?:sk-(?:proj-|ant-)?[\w-]{20,255}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,255})"),
    ),
    Form(
        ("npm_", "pypi-", "hf_"), regex.compile(_LEFT + r"(?:npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|hf_[A-Za-z0-9]{30,})")
    ),
    Form(("ltai",), regex.compile(_LEFT + r"LTAI[A-Za-z0-9]{12,26}")),
    # scheme://user:password@host: the user's name goes with it, and so does the host.
    Form(
        ("://",),
        regex.compile(
            r"(?<![a-z])[a-z][a-z0-9+.-]{1,30}://[^\s:/@'\"<>]{0,128}:[^\s/'\"<>]{1,256}@[^\s'\"<>,;]{1,512}",
            regex.IGNORECASE,
        ),
    ),
    # Server=…;User Id=…;Password=…;
    Form(
        ("pwd", "pass"),
        regex.compile(r"(?:^|[;\s\"'&?])(?:password|pwd|passwd|passphrase)=([^\s;&\"']{3,256})", regex.IGNORECASE),
    ),
)
_LABEL = label(
    r"(?:pass ?(?:word|wd|code|phrase)|\bpwd\b|\bpin(?: code)?\b|api[ _-]?key|secret(?:[ _-](?:access[ _-])?key)?"
    r"|(?:access|auth|bearer|refresh|session)[ _-]?(?:token|key)|client[ _-]secret|credential"
    r"|密码|口令|密钥|秘钥|令牌|验证码)"
    r"['\"`*]{0,3}[ \t]{0,2}(?:[:=]|is|was|是|为|->){1,2}[ \t]{0,2}['\"`*]{0,3}([^\s'\"`，。；、<>]{4,256})"
)
_LABEL_SIGNS = (
    *("pass", "pwd", "pin", "api", "secret", "token", "key", "credential"),
    *("密码", "口令", "密钥", "秘钥", "令牌", "验证码"),
)
PEM = "-----BEGIN "
_PEM_END = regex.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_PEM_HEAD = regex.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


class Secrets:
    """Private keys, access tokens, connection strings with a password, and what a label calls a password."""

    kind = "SECRET"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        for form in _FORMS:
            if view.says(form.signs):
                for match in scan(form.pattern, view.text):
                    start, end = match.span(1) if match.re.groups else match.span()
                    yield Span(start, end, self.kind, 0.9)
        if PEM in view.text:
            yield from private_keys(view.text)
        if not view.says(_LABEL_SIGNS):
            return
        for match in scan(_LABEL, view.lower):
            if _looks_random(match.group(1)):
                yield Span(match.start(1), match.start(1) + len(match.group(1).rstrip(",;")), self.kind, 0.6)


def private_keys(text: str) -> Iterator[Span]:
    """From the head to the end line, or to the end of the text where that is still missing."""
    for head in scan(_PEM_HEAD, text):
        end = _PEM_END.search(text, head.end())
        yield Span(head.start(), end.end() if end else len(text), Secrets.kind, 1.0)


# What stands where a value was hidden (actions.py), in lower case as it is read here. Letters alone are no password to
# `_looks_random` anyway, so that nobody gains by writing one as a pseudonym.
_PLACEHOLDER = regex.compile(r"\[[a-z_]{1,20}_(?:\d{1,4}|[a-z]{12})\]")

# A programme that reads its password from elsewhere holds none: a call, a look-up, a variable, "YOUR_API_KEY".
_REFERENCE = regex.compile(
    r"(?:(?:[a-z_]+\.)*+[a-z_]+(?:\([a-z_.]*\)?|\[)"
    r"|(?:process\.env|os\.environ|env|config|settings|self|this)(?:\.[a-z_]+)+"
    r"|\$\{?[a-z_]+\}?|\$\{\{|your[_-][a-z_-]+)[;,.]?"
)


def _looks_random(value: str) -> bool:
    """A digit or a sign inside: "password: hunter2", not "password: required"."""
    if _PLACEHOLDER.match(value) or _REFERENCE.fullmatch(value):
        return False
    core = value.strip(".,;:!?)]}（）")
    return len(core) >= 4 and any(not char.isalpha() and char not in "'’-" for char in core)
