"""A model's token table: what each id spells, and how many tokens a text has.

An id's bytes are taken from the tokenizer's own table, since decoding one id alone loses halves of characters and
leading spaces. Three ways of writing bytes as characters are in use: GPT-2's byte alphabet (byte-level BPE), "▁" for a
space with <0xNN> for single bytes (SentencePiece), and plain text.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

_BYTE_FALLBACK: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenizerVocabulary:
    """The vocabulary of one tokenizer.json. Raises ValueError where the file is none."""

    def __init__(self, path: Path) -> None:
        """`path` is the file or the model folder that holds it."""
        source = (path / "tokenizer.json") if path.is_dir() else path
        raw = source.read_bytes()
        text = raw.decode("utf-8")
        self.sha256: Final = hashlib.sha256(raw).hexdigest()
        self._tokenizer = _load(text)
        self._bytes = _spellings(self._tokenizer, json.loads(text))
        self.specials: Final = frozenset(
            token for token, added in self._tokenizer.get_added_tokens_decoder().items() if added.special
        )

        marks = [added.content for added in self._tokenizer.get_added_tokens_decoder().values() if added.special]
        self._marks = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or r"(?!)")

    def defused(self, content: Any) -> Any:
        """`content` (JSON) with the text of special tokens broken up, so that the engine reads it as text.

        Engines turn such text into the token itself: a caller could end his own turn and begin the assistant's.
        """
        if isinstance(content, str):
            return self._marks.sub(_broken, content)
        if isinstance(content, dict):
            return {key: self.defused(value) for key, value in content.items()}
        return [self.defused(value) for value in content] if isinstance(content, list) else content

    def spell(self, token_id: int) -> bytes:
        """What this token adds to a text; b"" for special tokens. Raises KeyError for an unknown id."""
        return self._bytes[token_id]

    @property
    def size(self) -> int:
        """One more than the highest id."""
        return max(self._bytes) + 1

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without those that begin or end one."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count(self, text: str) -> int:
        """How many tokens this text has."""
        return len(self.ids(text))


def _broken(mark: re.Match[str]) -> str:
    """A zero-width space behind the first character: it looks the same and is another text."""
    return mark.group()[0] + "\u200b" + mark.group()[1:]


def _load(text: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(text)
    except Exception:  # noqa: BLE001 - the library raises the bare class
        raise ValueError("not a tokenizer.json") from None


def _spellings(tokenizer: Tokenizer, source: dict[str, Any]) -> dict[int, bytes]:
    added = tokenizer.get_added_tokens_decoder()
    spell = _speller(source)
    table = {token_id: spell(token) for token, token_id in tokenizer.get_vocab(with_added_tokens=True).items()}
    for token_id, token in added.items():
        table[token_id] = b"" if token.special else token.content.encode()
    return table


def _speller(source: dict[str, Any]) -> Any:
    steps = _steps(source.get("decoder"))
    if "ByteLevel" in steps:
        return _from_byte_alphabet
    if "ByteFallback" in steps or "Metaspace" in steps or "Replace" in steps:
        return _from_sentencepiece
    return str.encode


def _steps(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    return {decoder["type"]}.union(*(_steps(inner) for inner in decoder.get("decoders", ())))


def _from_byte_alphabet(token: str) -> bytes:
    try:
        return bytes(_ALPHABET[char] for char in token)
    except KeyError:
        return token.encode()


def _from_sentencepiece(token: str) -> bytes:
    single = _BYTE_FALLBACK.fullmatch(token)
    return bytes([int(single[1], 16)]) if single else token.replace("▁", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes (Radford et al. 2019, `bytes_to_unicode` in the published encoder)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    stand_ins = {chr(byte): byte for byte in printable}
    return stand_ins | {chr(0x100 + at): byte for at, byte in enumerate(others)}


_ALPHABET: Final = _byte_alphabet()
