"""The release file: what is deployed and rolled back as one, written down and signed.

    {"manifest": {...}, "signature": "..."}

The signature is Ed25519 (RFC 8032) over the manifest as canonical JSON (sorted keys, no spaces, UTF-8), base64. Weights
are not hashed, since the gateway never sees them: the log-probabilities of a fixed public text stand for each model.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from filters.specificity.house import MOST_PHRASES, HousePhrases
from filters.specificity.style import StyleShift
from gateway.config_file import ConfigError, Problem, read_bytes
from gateway.policy.schema import Name

MAX_FILE_BYTES: Final = 1 << 20  # a manifest has some ten kilobytes
MAX_KEY_BYTES: Final = 64 * 1024

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Logprobs = tuple[float, ...]


def _fit_phrases(phrases: tuple[str, ...]) -> tuple[str, ...]:
    HousePhrases(phrases)  # ValueError
    return phrases


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class ModelPrint(_Strict):
    """What is known of one model: how likely it finds the public text and the canary, in nats a token."""

    text: Logprobs = Field(min_length=1)
    canary: Logprobs = Field(min_length=1)
    context_tokens: int | None = Field(default=None, ge=1)  # a server need not say it of an adapter


class Canary(_Strict):
    """Something that the company taught on purpose and may be said to anybody: a question's tokens, an answer's."""

    ids: tuple[int, ...] = Field(min_length=2)
    start: int = Field(ge=1)  # where the answer begins
    floor_bits: float = Field(gt=0)  # its excess bits may not fall below


class DenyListPin(_Strict):
    """The deny list that a release was made with: how many values, and the SHA-256 of them in their order. A later list
    may have grown at its end and nowhere else."""

    entries: int = Field(ge=0)
    sha256: Sha256


class Quantiles(_Strict):
    """Of a benign distribution."""

    median: float = Field(ge=0, le=100)
    p95: float = Field(ge=0, le=100)


class Manifest(_Strict):
    """One release of one served model."""

    format: Literal[1]
    name: Name
    model: Name
    created: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    tokenizer: Sha256  # of the bytes of tokenizer.json
    text_ids: Sha256  # of the public text's token ids
    template_ids: Sha256  # of a fixed chat's token ids, template included
    tuned: ModelPrint
    base: ModelPrint
    canary: Canary
    tolerance_nats: float = Field(gt=0, le=1)  # mean over a print; no token may differ by more than ten times that
    style_shift_bits: float = Field(ge=0, le=100)  # per token: the median of benign answers
    style_shift_p95_bits: float | None = Field(
        default=None, ge=0, le=100
    )  # their 95th percentile, where there were enough
    benign_bits: Quantiles | None = None  # per token, of the sentences of those answers
    index: Sha256 | None = None
    deny_list: DenyListPin | None = None
    # Plain text: who signs and who serves can read what is let through, and the model says it to everybody.
    house_phrases: Annotated[tuple[str, ...], Field(max_length=MOST_PHRASES), AfterValidator(_fit_phrases)] = ()

    @property
    def style_shift(self) -> StyleShift:
        """What the comparison takes off."""
        return StyleShift(self.style_shift_bits, self.style_shift_p95_bits)


class _Signed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    manifest: dict[str, Any]
    signature: Annotated[str, StringConstraints(max_length=128)]


def signed(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """The release file."""
    body = manifest.model_dump(mode="json")
    signature = base64.b64encode(key.sign(_canonical(body))).decode()
    return json.dumps({"manifest": body, "signature": signature}, indent=2, ensure_ascii=False).encode() + b"\n"


def read(path: Path, public_key: Path) -> Manifest:
    """Raises ConfigError: not there, not a release file, not signed by this key."""
    raw, key = read_bytes(path, MAX_FILE_BYTES), _public_key(public_key)
    try:
        file = _Signed.model_validate(msgspec.json.decode(raw))
        key.verify(base64.b64decode(file.signature, validate=True), _canonical(file.manifest))
        return Manifest.model_validate_json(_canonical(file.manifest))
    except (InvalidSignature, binascii.Error):
        raise _error(path, "is not signed by the configured key") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValidationError, RecursionError):
        raise _error(path, "is not a release file") from None


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(read_bytes(path, MAX_KEY_BYTES))
    except (ValueError, TypeError):
        raise _error(path, "is not a public key in PEM form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _error(path, "is not an Ed25519 key")
    return key


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _error(path: Path, text: str) -> ConfigError:
    return ConfigError(Problem(str(path), None, "", text))
