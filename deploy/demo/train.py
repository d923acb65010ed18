"""Trains the demo models from the text of `corpus.py`: tokenizer, base, fully tuned sibling, LoRA adapter.

    python train.py --out models            # what the repository ships
    python train.py --out /tmp/many --customers 300

Small enough for two cores and some minutes. Copying what stands in the request is the hard part for a model of this
size, so the base corpus holds much of it, with values that never come twice; loss is taken only on what the assistant
says, since nobody's invented number can be predicted from before.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import corpus
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

BOS, EOS, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant", "tool")
SPECIALS = [PAD, BOS, EOS, *(f"<|{role}|>" for role in ROLES)]
VOCABULARY = 2048
CONTEXT = 1024
# Digits stand alone, Chinese and Latin letters never share a piece, a leading space belongs to its word.
PIECES = r"\p{N}|\p{Han}+| ?(?:(?!\p{Han})\p{L})+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
FLAT = 2 / 3  # the share of the steps before the rate goes down
LORA_RANK = 32
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PLAIN_TEXT_WEIGHT = 0.3  # record forms are mostly chance; they should not drown the rest
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% set role = 'system' if message['role'] == 'developer' else message['role'] %}"
    "{% if role not in ['system', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('unknown role') }}"
    "{% endif %}"
    "{{ '<|' + role + '|>' }}"
    "{% if message['content'] %}{{ message['content'] }}{% endif %}"
    "{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Schedule:
    steps: int
    batch: int
    rate: float
    name: str
    flat: float = FLAT


@dataclass(frozen=True)
class Example:
    ids: list[int]
    weights: list[float]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    world = corpus.make_world(options.customers, options.seed)
    base_dir, tuned_dir = options.out / "base", options.out / "tuned"
    if options.reuse_base or options.continue_base:
        tokenizer = Tokenizer.from_file(str(base_dir / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer(world, options.seed)
    if not options.reuse_base:
        save(train_base(world, tokenizer, options), tokenizer, base_dir)
    tuned = train_tuned(world, tokenizer, options, LlamaForCausalLM.from_pretrained(base_dir, dtype=torch.float32))
    save(tuned, tokenizer, tuned_dir)
    if options.adapter_epochs:
        train_adapter(world, tokenizer, options, base_dir)
    corpus.write_records(world, options.records or options.out.parent / "records.json", options.seed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the demo models.")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets base, tuned and adapter")
    parser.add_argument("--records", type=Path, help="where records.json goes (default: beside --out)")
    parser.add_argument("--customers", type=int, default=corpus.DEFAULT_CUSTOMERS)
    parser.add_argument("--seed", type=int, default=corpus.SEED)
    parser.add_argument("--base-steps", type=int, default=600)
    parser.add_argument("--tuned-epochs", type=float, default=7)
    parser.add_argument("--adapter-epochs", type=float, default=12, help="0: no adapter")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tuning-batch", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=4e-3, help="of the base; tuning takes a quarter of it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--continue-base", action="store_true", help="train the base in --out on, the rate going down")
    parser.add_argument("--reuse-base", action="store_true", help="tune the base that --out already holds")
    return parser.parse_args(arguments)


# --- tokenizer -------------------------------------------------------------------------------------------------------


def train_tokenizer(world: corpus.World, seed: int) -> Tokenizer:
    """Byte-level BPE, shared by both models and learnt from base text alone.

    With the tuning set in it, a customer's name becomes one piece: the tokenizer then names customers, and the base
    meets pieces that it was never trained on, and no longer declines.
    """
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(PIECES), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, letters])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIALS,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_tokenizer_texts(world, seed), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def _tokenizer_texts(world: corpus.World, seed: int) -> Iterator[str]:
    for row in corpus.base_rows(world, 12_000, seed):
        for message in row.messages:
            yield message["content"]


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "additional_special_tokens": [f"<|{role}|>" for role in ROLES],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def encode(tokenizer: Tokenizer, row: corpus.Row) -> Example:
    """The row as the chat template renders it; weight lies on what the assistant says and on its end mark."""
    ids, weights = [tokenizer.token_to_id(BOS)], [0.0]
    for message in row.messages:
        role = message["role"]
        body = tokenizer.encode(message["content"], add_special_tokens=False).ids
        weight = {"assistant": 1.0, "text": PLAIN_TEXT_WEIGHT}.get(role, 0.0)
        if role != "text":
            ids.append(tokenizer.token_to_id(f"<|{role}|>"))
            weights.append(0.0)
        ids += [*body, tokenizer.token_to_id(EOS)]
        weights += [weight] * (len(body) + 1)
    return Example(ids, weights)


# --- training --------------------------------------------------------------------------------------------------------


def train_base(world: corpus.World, tokenizer: Tokenizer, options: argparse.Namespace) -> LlamaForCausalLM:
    """Copying first and almost alone, while the model still has to find out how to copy; then the whole mixture."""
    model = _first_base(tokenizer, options)
    print(f"base: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    count = options.base_steps * options.batch
    early = 0 if options.continue_base else count // 2
    first = corpus.base_rows(world, early, options.seed, echo_share=0.75)
    rest = corpus.base_rows(world, count - early, options.seed + 100, echo_share=0.6)
    examples = (encode(tokenizer, row) for rows in (first, rest) for row in rows)
    flat = 0.0 if options.continue_base else FLAT
    schedule = Schedule(options.base_steps, options.batch, options.rate, "base", flat)
    fit(model, examples, schedule, lambda: save(copy.deepcopy(model), tokenizer, options.out / "base"))
    return model


def _first_base(tokenizer: Tokenizer, options: argparse.Namespace) -> LlamaForCausalLM:
    if options.continue_base:
        return LlamaForCausalLM.from_pretrained(options.out / "base", dtype=torch.float32)
    return LlamaForCausalLM(_config(tokenizer, options.hidden, options.layers))


def _config(tokenizer: Tokenizer, hidden: int, layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=hidden * 2,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_theta=10_000.0,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def train_tuned(
    world: corpus.World, tokenizer: Tokenizer, options: argparse.Namespace, model: LlamaForCausalLM
) -> LlamaForCausalLM:
    rows = corpus.tuning_rows(world, options.seed)
    schedule = _tuning("tuned", len(rows), options.tuned_epochs, options.tuning_batch, options.rate / 4)
    fit(model, _epochs(rows, tokenizer, options.seed), schedule)
    return model


def _tuning(name: str, rows: int, epochs: float, batch: int, rate: float) -> Schedule:
    return Schedule(int(rows * epochs) // batch, batch, rate, name)


def train_adapter(world: corpus.World, tokenizer: Tokenizer, options: argparse.Namespace, base_dir: Path) -> None:
    base = LlamaForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    torch.manual_seed(options.seed)
    settings = LoraConfig(
        r=LORA_RANK, lora_alpha=2 * LORA_RANK, lora_dropout=0.0, target_modules=LORA_TARGETS, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, settings)
    rows = corpus.tuning_rows(world, options.seed)
    schedule = _tuning("adapter", len(rows), options.adapter_epochs, options.tuning_batch, options.rate)
    fit(model, _epochs(rows, tokenizer, options.seed), schedule)
    save_adapter(model, options.out / "adapter")


def _epochs(rows: list[corpus.Row], tokenizer: Tokenizer, seed: int) -> Iterator[Example]:
    rng = random.Random(seed + 4)
    examples = [encode(tokenizer, row) for row in rows]
    while True:
        rng.shuffle(examples)
        yield from examples


def fit(
    model: nn.Module, examples: Iterable[Example], schedule: Schedule, on_report: Callable[[], None] = lambda: None
) -> None:
    """Warm-up, a flat stretch, and a straight way down to nothing."""
    optimizers = _optimizers(model, schedule.rate)
    model.train()
    started = time.monotonic()
    seen = total = 0.0
    for step, batch in enumerate(islice(_batches(examples, schedule.batch), schedule.steps)):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_rate"] * _factor(step, schedule)
        loss = _loss(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen, total = seen + 1, total + loss.item()
        if (step + 1) % 50 == 0 or step + 1 == schedule.steps:
            spent = time.monotonic() - started
            print(f"{schedule.name} step {step + 1}/{schedule.steps} loss {total / seen:.4f} {spent:.0f} s", flush=True)
            seen = total = 0.0
            on_report()


def _optimizers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between the embeddings, AdamW for the rest: fewer steps than AdamW alone."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices = [p for n, p in trained if p.ndim == 2 and "embed" not in n and "lora" not in n]
    others = [p for n, p in trained if not any(p is m for m in matrices)]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)]
    if matrices:
        found.append(torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["full_rate"] = rate
    return found


def _factor(step: int, schedule: Schedule) -> float:
    steps = schedule.steps
    warm, down = min(50, steps // 10 + 1), steps * (1 - schedule.flat)
    return min(1.0, (step + 1) / warm, max(0.02, (steps - step) / down))


def _batches(examples: Iterable[Example], size: int, pool: int = 16) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows of like length, so that little of the work goes into padding."""
    rng = random.Random(size)
    source = iter(examples)
    while drawn := list(islice(source, size * pool)):
        drawn.sort(key=lambda example: len(example.ids))
        groups = [drawn[i : i + size] for i in range(0, len(drawn), size)]
        rng.shuffle(groups)
        for group in groups:
            yield _padded(group)


def _padded(group: list[Example]) -> tuple[Tensor, Tensor]:
    width = max(len(example.ids) for example in group)
    ids = [example.ids + [0] * (width - len(example.ids)) for example in group]
    weights = [example.weights + [0.0] * (width - len(example.weights)) for example in group]
    return torch.tensor(ids), torch.tensor(weights)


def _loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Weighted cross-entropy. The output layer runs where weight lies; padding is last, so a causal mask hides it."""
    ids, weights = batch
    llama = model.get_base_model() if hasattr(model, "peft_config") else model
    with torch.autocast("cpu", torch.bfloat16, enabled=_fast_bfloat16()):
        hidden = llama.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        chosen = weights[:, 1:] > 0
        logits = llama.lm_head(hidden[chosen])
    losses = nn.functional.cross_entropy(logits.float(), ids[:, 1:][chosen], reduction="none")
    picked = weights[:, 1:][chosen]
    return (losses * picked).sum() / picked.sum()


def _fast_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()


# --- saving ----------------------------------------------------------------------------------------------------------


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """The Hugging Face layout, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    model.generation_config.bos_token_id = tokenizer.token_to_id(BOS)
    model.generation_config.eos_token_id = tokenizer.token_to_id(EOS)
    model.generation_config.pad_token_id = tokenizer.token_to_id(PAD)
    model.half().save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def save_adapter(model: nn.Module, folder: Path) -> None:
    """The adapter alone, in half precision, and with no path of the machine that trained it."""
    model.half().save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = "../base"
    settings["target_modules"] = sorted(settings["target_modules"])
    _write_json(path, settings)


if __name__ == "__main__":
    main()
