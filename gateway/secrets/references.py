"""How a setting names a secret: by the path of a file, by `env:NAME`, or by `vault:PATH#KEY`.

1. A setting holds the name and never the secret, so that settings may be shown; what is read here is in no message.
2. The path in Vault is one inside the KV engine that `vault.mount` names. `vault:PATH@3#KEY` is its version 3 and no
   other: what several processes must agree on, however far apart they start.
3. What looks like the latter two and is a file is written `./env:…`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Protocol, runtime_checkable

from pydantic import PlainValidator

from gateway.config_file import ConfigError, Problem, read_bytes

MAX_SECRET_BYTES: Final = 64 * 1024  # far above any key or password; a wrong path fails at once
ENV: Final = "env:"
VAULT: Final = "vault:"

_VARIABLE: Final = re.compile(r"(?!TIGHTLIP_)[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_STEP = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"  # no "..", nothing that means something in an address
VAULT_PATH: Final = rf"{_STEP}(?:/{_STEP}){{0,15}}"
_IN_VAULT: Final = re.compile(rf"({VAULT_PATH})(?:@([1-9][0-9]{{0,8}}))?#([A-Za-z0-9_.-]{{1,128}})", re.ASCII)
MAX_REFERENCE_CHARS: Final = 1024


@runtime_checkable  # pydantic wants to be able to ask
class Held(Protocol):
    """Secrets of Vault that have been read."""

    def value(self, ref: VaultRef) -> str:
        """Raises ConfigError."""
        ...


@dataclass(frozen=True, slots=True)
class EnvRef:
    """A variable of the environment."""

    name: str

    def __str__(self) -> str:
        return ENV + self.name


@dataclass(frozen=True, slots=True)
class VaultRef:
    """A key of a secret in Vault, and who has read it (nobody yet, in settings as they are loaded)."""

    path: str
    key: str
    version: int | None = None  # None: the newest
    held: Held | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        version = f"@{self.version}" if self.version is not None else ""
        return f"{VAULT}{self.path}{version}#{self.key}"


def parse(text: object) -> Path | EnvRef | VaultRef:
    """Raises ValueError, which does not quote the text: it might be the secret itself."""
    if isinstance(text, Path | EnvRef | VaultRef):
        return text
    if not isinstance(text, str) or not text or len(text) > MAX_REFERENCE_CHARS:
        raise ValueError("must be the path of a file, env:NAME or vault:PATH#KEY")
    if text.startswith(ENV):
        return _variable(text.removeprefix(ENV))
    return parse_vault(text.removeprefix(VAULT)) if text.startswith(VAULT) else Path(text)


def parse_vault(text: str) -> VaultRef:
    """What stands behind `vault:`. Raises ValueError, as `parse`."""
    found = _IN_VAULT.fullmatch(text)
    if found is None or len(text) > MAX_REFERENCE_CHARS:
        raise ValueError("must be PATH#KEY or PATH@VERSION#KEY of Vault")
    return VaultRef(found[1], found[3], int(found[2]) if found[2] else None)


SecretRef = Annotated[Path | EnvRef | VaultRef, PlainValidator(parse)]


def read_secret(ref: Path | EnvRef | VaultRef) -> str:
    """The one word of a secret. Raises ConfigError, which never quotes it."""
    try:
        secret = secret_text(ref)
    except UnicodeDecodeError:
        raise _wrong(ref, "is not ASCII") from None
    if not secret.isascii():
        raise _wrong(ref, "is not ASCII")
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise _wrong(ref, "must hold one word")
    return secret


def secret_text(ref: Path | EnvRef | VaultRef) -> str:
    """The secret, without the space around it. Raises ConfigError; UnicodeDecodeError for what is not UTF-8."""
    if isinstance(ref, Path):
        return read_bytes(ref, MAX_SECRET_BYTES).decode("utf-8").strip()
    if isinstance(ref, VaultRef):
        if ref.held is None:
            raise _wrong(ref, "can't be read without Vault")
        return ref.held.value(ref).strip()
    if ref.name not in os.environ:
        raise _wrong(ref, "is not set")
    return os.environ[ref.name].strip()


def _variable(name: str) -> EnvRef:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("must be env: and the name of a variable, which does not begin with TIGHTLIP_ as settings do")
    return EnvRef(name)


def _wrong(ref: Path | EnvRef | VaultRef, text: str) -> ConfigError:
    return ConfigError(Problem(str(ref), None, "", text))
