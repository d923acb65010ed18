"""Records what transformers and peft compute, as tests/embedded/reference.npz and reference.json.

Run by hand, never by the tests, where torch, transformers and peft are installed:

    python -m tests.embedded.record_reference

reference.npz: float32 logits of a fixed prompt under the models that `variants.VARIANTS` describes.
reference.json: what chat templates render.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch  # type: ignore[import-not-found]
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from peft import PeftModel  # type: ignore[import-not-found]
from transformers import (  # type: ignore[import-not-found]
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
)

from tests.embedded.variants import ADAPTERS, IDS, RENDERINGS, VARIANTS, write_adapter, write_variant

HERE = Path(__file__).resolve().parent


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        logits = {name: _logits(write_variant(name, folder / name)) for name in VARIANTS}
        for name in ADAPTERS:
            base = write_variant("plain", folder / "base")
            logits[name] = _logits(base, write_adapter(name, folder / name))
        texts = [_render(folder / "plain", **rendering) for rendering in RENDERINGS]
    np.savez_compressed(HERE / "reference.npz", allow_pickle=False, **logits)
    (HERE / "reference.json").write_text(json.dumps(texts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _logits(folder: Path, adapter: Path | None = None) -> np.ndarray:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.inference_mode():
        logits: np.ndarray = model.eval()(torch.tensor([IDS])).logits[0].numpy()
    return logits


def _render(folder: Path, template: str, **arguments: object) -> str | None:
    """The text, or None where the template or the library refuses."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    try:
        text: str = tokenizer.apply_chat_template(chat_template=template, tokenize=False, **arguments)
    except (ValueError, TemplateError, SecurityError) as error:
        print(f"refused: {error!r}")
        return None
    return text


if __name__ == "__main__":
    main()
