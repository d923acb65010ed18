"""Text to token ids and back, as vLLM does it: whole prompts, tokens for log-probabilities, a stream's deltas."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from gateway.embedded.errors import ModelError
from gateway.embedded.template import ChatTemplate

HALF = "\N{REPLACEMENT CHARACTER}"
# A UTF-8 character has at most four bytes, so a byte token's character begins at most this many tokens earlier.
CONTEXT = 4


class TextTokenizer:
    """A folder's tokenizer.

    Attributes:
        eos: the id of the end-of-text token; None where the folder names none.
        template: the chat template; None where the folder has none.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"tokenizer.json is missing from {folder}")
        self._raw: Tokenizer = Tokenizer.from_file(str(path))
        self._raw.no_truncation()
        self._raw.no_padding()
        config = _read_config(folder)
        specials = _special_tokens(config)
        self.eos: int | None = self._raw.token_to_id(specials.get("eos_token", ""))
        self.template = _read_template(folder, config, specials)
        self._space = _leading_space_mark(self._raw)
        self._decode_one = lru_cache(maxsize=None)(self._decode_single)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text; `special` adds what the tokenizer puts around one (a beginning-of-text token)."""
        return self._raw.encode(text, add_special_tokens=special).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens written out."""
        return self._raw.decode(list(ids), skip_special_tokens=False)

    def token_text(self, token: int, context: Sequence[int]) -> str:
        """One token as log-probabilities name it.

        Args:
            token: the id.
            context: the ids before it in the same answer or prompt; the last four count.

        Returns:
            Its own text; for the last piece of a multi-byte character that whole character, for an earlier piece
            nothing.
        """
        text = self._decode_one(token)
        return self._completed(token, context[-CONTEXT:]) if text.endswith(HALF) else text

    def stream(self, prompt: Sequence[int], *, skip_special: bool) -> "Detokenizer":
        """A detokenizer for what follows a prompt."""
        return Detokenizer(self._raw, prompt, skip_special)

    def _decode_single(self, token: int) -> str:
        text = self.decode([token])
        if self._space is None:
            return text
        piece = self._raw.id_to_token(token) or ""
        marks = len(piece) - len(piece.lstrip(self._space))
        return " " * (marks - (len(text) - len(text.lstrip(" ")))) + text

    def _completed(self, token: int, context: Sequence[int]) -> str:
        for start in range(len(context) - 1, -1, -1):
            before = context[start:]
            text = self.decode([*before, token])
            if not text.endswith(HALF):
                return _without_prefix(text, self._whole_part(before))
        return ""

    def _whole_part(self, before: Sequence[int]) -> str:
        """The text of the ids that end before the pieces of the unfinished character begin."""
        end = len(before)
        while end and self.decode([before[end - 1]]).endswith(HALF):
            end -= 1
        return self.decode(before[:end])


class Detokenizer:
    """Turns a growing answer's ids into text deltas; half a character gives an empty delta until it is whole."""

    def __init__(self, raw: Tokenizer, prompt: Sequence[int], skip_special: bool) -> None:
        self._raw = raw
        self._skip_special = skip_special
        self._stream = DecodeStream(ids=list(prompt), skip_special_tokens=skip_special)

    def feed(self, token: int) -> str:
        """The text that one more token completes; empty where it completes none."""
        try:
            return self._stream.step(self._raw, token) or ""
        except Exception as error:
            # The library's only type for it. Some byte sequences decode to a text that the earlier text does not begin;
            # vLLM starts the stream afresh at this token then.
            if not str(error).startswith("Invalid prefix encountered"):
                raise
            self._stream = DecodeStream(skip_special_tokens=self._skip_special)
            return self._stream.step(self._raw, token) or ""


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    value = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no object")
    return value


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and its like; each is a string, or an object that holds it as `content`."""
    found = {}
    for name in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"):
        value = config.get(name)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            found[name] = value
    return found


def _read_template(folder: Path, config: Mapping[str, Any], specials: Mapping[str, str]) -> ChatTemplate | None:
    path = folder / "chat_template.jinja"
    source = path.read_text(encoding="utf-8") if path.exists() else config.get("chat_template")
    if isinstance(source, list):  # several by name
        source = next((entry["template"] for entry in source if entry["name"] == "default"), None)
    return None if source is None else ChatTemplate(source, specials)


def _leading_space_mark(raw: Tokenizer) -> str | None:
    """The character that stands for a space in SentencePiece-like pieces, whose decoding drops a leading one."""
    outer = json.loads(raw.to_str()).get("pre_tokenizer") or {}
    for entry in outer.get("pretokenizers", [outer]):
        if entry.get("type") == "Metaspace":
            return str(entry.get("replacement", "▁"))
    return None


def _without_prefix(text: str, prefix: str) -> str:
    common = 0
    while common < min(len(text), len(prefix)) and text[common] == prefix[common]:
        common += 1
    return text[common:]
