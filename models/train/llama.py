"""Trains the small Llama that ships with the project: ``python -m models.train.llama --out models/llama_small``.

About a quarter of an hour on two cores. One seed decides everything; another number of threads or another processor
rounds differently, which moves the perplexity by well under the 3 % that the reproduction allows.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from models.load.checkpoint import run_command
from models.load.hub import require_torch
from models.train import corpus
from models.train.evaluate_llama import CALIBRATION, HELD_OUT, LENGTH, load_model, perplexity, random_twin
from models.train.text import END_OF_TEXT, ngram_perplexity, token_stream, windows
from stamp_hw.formats.files import atomic_file

log = logging.getLogger(__name__)

#: Sequences that calibrate the static scales of traces: so many documents, cut to so many characters (over 512 tokens).
CALIBRATION_DOCUMENTS, CALIBRATION_CHARACTERS = 8, 2400


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the checkpoint. The learning rate warms up linearly and falls to 0 as a cosine."""

    seed: int = 0
    vocabulary: int = 2048
    hidden: int = 192
    intermediate: int = 512
    blocks: int = 6
    heads: int = 6
    kv_heads: int = 2
    batch: int = 8
    steps: int = 1200
    warmup: int = 100
    peak_rate: float = 3e-3
    weight_decay: float = 0.1


def train_tokenizer(text: str, vocabulary: int) -> Any:
    """A byte-level BPE ``tokenizers.Tokenizer`` of `text`: every string has an encoding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        (document for document in text.split("\f") if document.strip()),
        trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[END_OF_TEXT], show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def build_model(recipe: Recipe) -> Any:
    """A float32 ``LlamaForCausalLM`` with grouped-query attention, embeddings tied to the output."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=recipe.vocabulary, hidden_size=recipe.hidden, intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.blocks, num_attention_heads=recipe.heads, num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=LENGTH, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0))


def rate(step: int, recipe: Recipe) -> float:
    """Learning rate of a step."""
    if step < recipe.warmup:
        return recipe.peak_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / (recipe.steps - recipe.warmup)
    return recipe.peak_rate * 0.5 * (1 + math.cos(math.pi * done))


def batches(tokens: np.ndarray, recipe: Recipe) -> Any:
    """Endless int64[batch, 512]: each epoch cuts the stream at another offset and shuffles the windows."""
    rng = np.random.default_rng(recipe.seed)
    while True:
        cut = windows(tokens, LENGTH, int(rng.integers(LENGTH)))
        order = rng.permutation(len(cut))
        for first in range(0, len(cut) - recipe.batch + 1, recipe.batch):
            yield cut[order[first : first + recipe.batch]]


def train(model: Any, tokens: np.ndarray, recipe: Recipe) -> None:
    """AdamW on random windows; norms are not decayed."""
    import torch

    decayed = [weight for weight in model.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if weight.ndim != 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": recipe.weight_decay},
                                   {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.95))
    model.train()
    source, started = batches(tokens, recipe), time.monotonic()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, recipe)
        batch = torch.from_numpy(next(source))
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == recipe.steps - 1:
            log.info("step %4d/%d  loss %.3f  %4.0f s", step, recipe.steps, loss.item(), time.monotonic() - started)


def save(folder: Path, model: Any, tokenizer: Any, text: corpus.Corpus) -> None:
    """Checkpoint in bfloat16 and Hugging Face layout, with the held-out and the calibration text beside it."""
    import torch
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT,
                            model_max_length=LENGTH).save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # the weights are written as private to their owner
    calibration = corpus.calibration(text.training, CALIBRATION_DOCUMENTS, CALIBRATION_CHARACTERS)
    for name, content in ((HELD_OUT, text.held_out), (CALIBRATION, calibration)):
        with atomic_file(folder / name, "wb") as stream:
            stream.write(content.encode("utf-8"))


def main(argv: list[str] | None = None) -> int:
    """Train, save and record the figures in training.json."""
    require_torch()
    import torch

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Recipe.__dataclass_fields__["steps"].default)
    parser.add_argument("--threads", type=int, default=2, help="more threads round differently")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(options.threads)
    recipe, started = Recipe(steps=options.steps), time.monotonic()

    text = corpus.build()
    tokenizer = train_tokenizer(text.training, recipe.vocabulary)
    tokens = token_stream(tokenizer, text.training)
    held_out = windows(token_stream(tokenizer, text.held_out), LENGTH)
    log.info("%d training tokens, %d held-out windows", len(tokens), len(held_out))
    model = build_model(recipe)
    train(model, tokens, recipe)
    minutes = (time.monotonic() - started) / 60
    save(options.out, model, tokenizer, text)

    saved = load_model(options.out)
    baseline = ngram_perplexity(tokens, held_out, recipe.vocabulary)
    record = {
        "recipe": asdict(recipe),
        "parameters": saved.num_parameters(),
        "perplexity": {"held_out": round(perplexity(saved, held_out), 3), "bigram": round(baseline.bigram, 3),
                       "unigram": round(baseline.unigram, 3),
                       "random_twin": round(perplexity(random_twin(saved.config), held_out), 3)},
        "held_out_tokens": baseline.tokens,
        "training_tokens": len(tokens),
        "sha256": {"training_text": corpus.sha256(text.training), "held_out_text": corpus.sha256(text.held_out)},
        "minutes": round(minutes, 1),
        "threads": options.threads,
        "versions": {"python": platform.python_version(),
                     **{name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")}},
    }
    with atomic_file(options.out / "training.json") as stream:
        json.dump(record, stream, indent=1, sort_keys=True)
        stream.write("\n")
    log.info("%s", json.dumps(record["perplexity"]))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
