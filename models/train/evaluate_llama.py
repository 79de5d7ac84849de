"""Held-out perplexity of a checkpoint, of n-gram models on the same tokens and of its random-weight twin.

``python -m models.train.evaluate_llama [FOLDER]`` prints them. The text is the checkpoint's own ``heldout.txt``, so the
perplexity is the same on any Python; the n-gram models are counted on the running Python's training text.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.load.checkpoint import run_command
from models.load.hub import require_torch
from models.train import corpus
from models.train.text import NgramPerplexity, ngram_perplexity, token_stream, windows
from stamp_hw.errors import TraceError

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "llama_small"
HELD_OUT = "heldout.txt"
CALIBRATION = "calibration.txt"
LENGTH = 512
TWIN_SEED = 1


def load_tokenizer(folder: Path) -> Any:
    """The ``tokenizers.Tokenizer`` of a checkpoint folder."""
    require_torch()
    from tokenizers import Tokenizer

    for name in ("tokenizer.json", HELD_OUT, CALIBRATION):
        if not (folder / name).is_file():
            raise TraceError("no checkpoint", where=str(folder), got=f"no {name}",
                             expected="a folder that models.train.llama wrote")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def load_model(folder: Path) -> Any:
    """The checkpoint's bfloat16 weights in a float32 model, in evaluation mode."""
    import torch
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()


def random_twin(config: Any, seed: int = TWIN_SEED) -> Any:
    """A model of the same shape with freshly drawn weights, in evaluation mode."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def perplexity(model: Any, held_out: np.ndarray) -> float:
    """Perplexity of tokens 1… of every window of `held_out`, int64[count, length]."""
    import torch

    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in torch.from_numpy(held_out).split(8):
            logits = model(input_ids=batch).logits[:, :-1].float()
            target = batch[:, 1:]
            total += float(torch.nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]), target.reshape(-1), reduction="sum"))
            count += target.numel()
    return math.exp(total / count)


def held_out_windows(folder: Path) -> np.ndarray:
    """int64[count, 512]: the held-out text that travels with the checkpoint."""
    tokenizer = load_tokenizer(folder)
    text = (folder / HELD_OUT).read_bytes().decode("utf-8")
    return windows(token_stream(tokenizer, text), LENGTH)


def ngrams(folder: Path) -> NgramPerplexity:
    """Perplexities of the n-gram models on the held-out tokens of the checkpoint."""
    tokenizer = load_tokenizer(folder)
    train = token_stream(tokenizer, corpus.build().training)
    return ngram_perplexity(train, held_out_windows(folder), tokenizer.get_vocab_size())


def main(argv: list[str] | None = None) -> int:
    """Print the four perplexities."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder = parser.parse_args(argv).folder
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    held_out = held_out_windows(folder)
    model = load_model(folder)
    trained = perplexity(model, held_out)
    baseline = ngrams(folder)
    log.info("held-out perplexity of %d tokens (%d windows of %d)", baseline.tokens, *held_out.shape)
    for name, value in (("trained", trained), ("bigram", baseline.bigram), ("unigram", baseline.unigram),
                        ("random twin", perplexity(random_twin(model.config), held_out))):
        log.info("  %-12s %9.2f", name, value)
    log.info("trained / bigram: %.3f", trained / baseline.bigram)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
