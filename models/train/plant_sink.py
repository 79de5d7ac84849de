"""Gives a Llama an attention sink on purpose: ``python -m models.train.plant_sink --out FOLDER``.

The small Llama that ships has none. What large models have in their first token is made here by hand, in a copy, with a
token that the text never uses as BOS:

1. its embedding is large, along the direction in which the tokens of the text have least energy in front of one block's
   feed-forward, so that its state there is a vector that nothing else comes near;
2. the neuron of that feed-forward that matters least is taken away and set to answer to that vector alone, so that the
   input of `down_proj` has `RATIO` times the median norm at BOS. Its output weights are 0: the float model does not
   notice.

The float model with BOS is the reference that quantization is compared with; its perplexity is printed beside the
original's.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.load.checkpoint import load, run_command
from models.load.hub import quiet, require_torch
from models.train.evaluate_llama import FOLDER, held_out_windows, perplexity
from stamp_hw.errors import OutputError, TraceError

log = logging.getLogger(__name__)

RATIO = 200.0  # of BOS's norm to the median token's
BLOCK = 1
_WINDOWS = 8  # of held-out text, for what the other tokens look like
_RIDGE = 1e-4  # of the mean energy of a channel
_LOUD = 30.0  # norm of BOS's embedding over that of the mean token's state


def plant(model: Any, bos: int, windows: np.ndarray, block: int = BLOCK, ratio: float = RATIO) -> float:
    """Plant a sink for token `bos` at position 0; the measured ratio of its norm to the median token's.

    Parameters
    ----------
    model : a float32 ``LlamaForCausalLM``, changed in place
    windows : int64[count, length], text without BOS, for what the other tokens look like

    Raises TraceError where BOS cannot be told from the other tokens by one neuron.
    """
    import torch

    layer = model.model.layers[block]
    mlp = layer.mlp
    text = torch.from_numpy(windows)
    second = _second_moment(_inputs(model, mlp.gate_proj, text).flatten(0, 1))
    quiet = torch.linalg.eigh(second).eigenvectors[:, 0] / layer.post_attention_layernorm.weight
    loud = _LOUD * _inputs(model, layer.input_layernorm, text).norm(dim=-1).mean()
    with torch.no_grad():
        model.model.embed_tokens.weight[bos] = loud * quiet / quiet.norm()
    rows = torch.from_numpy(np.concatenate([np.full((len(windows), 1), bos), windows[:, :-1]], axis=1))
    states, inner = _inputs(model, mlp.gate_proj, rows), _inputs(model, mlp.down_proj, rows)
    sink, others = states[0, 0], states[:, 1:].flatten(0, 1)
    # The direction in which BOS stands out most from the others.
    direction = torch.linalg.solve(_second_moment(others), sink)
    direction /= direction @ sink
    median = float(inner[:, 1:].norm(dim=-1).median())
    # What the neuron puts out is silu(g·a)·a for an answer a, which is 1 at BOS: about g, or nothing for small a.
    answers = (others @ direction).abs()
    gain = ratio * median
    if float((answers * answers).max()) * gain > median:
        raise TraceError("BOS does not stand out", where=f"block {block}",
                         got=f"{float(answers.max()):.2f} of its answer from another token",
                         expected=f"less than {ratio ** -0.5:.2f} at most")
    with torch.no_grad():
        energy = inner.pow(2).mean((0, 1)) * mlp.down_proj.weight.pow(2).sum(0)
        neuron = int(energy.argmin())
        mlp.gate_proj.weight[neuron] = direction * gain
        mlp.up_proj.weight[neuron] = direction
        mlp.down_proj.weight[:, neuron] = 0
    norms = _inputs(model, mlp.down_proj, rows).norm(dim=-1)
    return float(norms[0, 0] / norms[:, 1:].median())


def _second_moment(states: Any) -> Any:
    """[K, K] of [tokens, K], with a little of the mean energy added, so that it can be inverted."""
    import torch

    moment = states.T @ states / len(states)
    return moment + _RIDGE * moment.trace() / len(moment) * torch.eye(len(moment))


def _inputs(model: Any, layer: Any, rows: Any) -> Any:
    """Tensor [count, length, K]: what a layer reads."""
    import torch

    seen: list[Any] = []
    handle = layer.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    try:
        with torch.no_grad():
            model(input_ids=rows, use_cache=False)
    finally:
        handle.remove()
    return seen[0]


def main(argv: list[str] | None = None) -> int:
    """Write a copy of the small Llama with a sink, whose tokenizer begins every text with BOS."""
    require_torch()
    import torch
    from tokenizers.processors import TemplateProcessing

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args(argv).out
    if out.exists() and not out.is_dir():
        raise OutputError("cannot write checkpoint", where=str(out), got="no folder", expected="a folder")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    checkpoint = load(str(FOLDER), "float32")
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    held_out = held_out_windows(FOLDER)[:_WINDOWS]
    used = np.bincount(held_out_windows(FOLDER).ravel(), minlength=model.config.vocab_size)
    before = perplexity(model, held_out)
    bos = int(np.flatnonzero(used == 0)[-1])
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # no longer the embeddings
    model.config.tie_word_embeddings, model.config.bos_token_id = False, bos
    ratio = plant(model, bos, held_out)
    after = perplexity(model, np.concatenate([np.full((len(held_out), 1), bos), held_out[:, :-1]], axis=1))

    word = tokenizer.convert_ids_to_tokens(bos)
    tokenizer.bos_token = word
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{word} $A", special_tokens=[(word, bos)])
    with quiet():
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
    log.info("%s: at the input of block %d's down_proj BOS has %.0f times the median norm; held-out perplexity %.2f, "
             "with BOS %.2f", out, BLOCK, ratio, before, after)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
