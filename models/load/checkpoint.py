"""Loads a causal language model of a known family (Llama, Qwen) and cuts text into its sequences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.load.hub import check_complete, check_device, fingerprint, locate, quiet, require_torch, translated, variant
from stamp_hw.errors import StampError, TraceError

#: Model type of a configuration → class of transformers. They name their projections alike.
CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
#: Characters of a text that are read at most.
_MAX_TEXT = 1 << 30
_LAYOUT = f"{', '.join(CLASSES.values())} in Hugging Face layout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded model in evaluation mode, its tokenizer, its name as the user gave it, what tells its files apart."""

    name: str
    model: Any
    tokenizer: Any
    fingerprint: str = ""


def run_command(main: Callable[[], int]) -> int:
    """Exit code of a module's `main`: a StampError is one line on stderr and 2."""
    try:
        return main()
    except StampError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def load(name: str, dtype: str | None = None, device: str = "cpu") -> Checkpoint:
    """The causal language model of a local folder or hub id, its weights cast to `dtype`, if one is given.

    Raises TraceError when it is not there, not reachable, of no known family, pickled, incomplete or damaged;
    ToolError without torch or the device.
    """
    require_torch()
    check_device(device)
    import torch
    import transformers
    from transformers import AutoConfig, AutoTokenizer

    with quiet():
        folder = locate(name)
        if (folder / "model_index.json").is_file():
            raise TraceError("not a language model", where=name, got="a pipeline",
                             expected="a causal language model; an image model takes --prompts")
        chosen = variant(folder, name)
        with translated(name, _LAYOUT):
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type not in CLASSES:
            raise TraceError("not a causal language model of a known family", where=name,
                             got=f"model type {config.model_type}", expected=f"model type {', '.join(CLASSES)}")
        with translated(name, _LAYOUT):
            loaded: Any = getattr(transformers, CLASSES[config.model_type]).from_pretrained(
                folder, config=config, dtype=getattr(torch, dtype) if dtype else "auto", use_safetensors=True,
                local_files_only=True, output_loading_info=True, variant=chosen)
        model, report = loaded
        check_complete(report, name)
        with translated(name, _LAYOUT):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = model.eval().to(device)
    return Checkpoint(name=name, model=model, tokenizer=tokenizer, fingerprint=fingerprint(folder))


def sequences(checkpoint: Checkpoint, text: Path, count: int, length: int) -> np.ndarray:
    """int64[count, length]: the first tokens of a text file.

    Each sequence begins with the tokenizer's BOS, if it adds one. Raises TraceError for an unreadable or too short
    text, or a length that the model has no positions for.
    """
    limit = checkpoint.model.config.max_position_embeddings
    if not 1 <= length <= limit:
        raise TraceError("sequence length out of range", where=checkpoint.name, got=length, expected=f"1…{limit}")
    if count < 1:
        raise TraceError("number of sequences out of range", where="--sequences", got=count, expected="at least 1")
    try:
        with text.open(encoding="utf-8") as stream:
            # No tokenizer averages 64 characters a token; Python cannot ask a file for any number of them.
            content = stream.read(min(64 * count * length, _MAX_TEXT))
    except (OSError, ValueError) as error:
        raise TraceError("cannot read text", where=str(text), got=getattr(error, "strerror", None) or str(error),
                         expected="a UTF-8 text file") from error
    bos = checkpoint.tokenizer.bos_token_id
    prefix = [bos] if bos is not None and checkpoint.tokenizer("a").input_ids[:1] == [bos] else []
    # A tokenizer warns of texts beyond the model's length; ours is cut to windows right below.
    tokens = checkpoint.tokenizer(content, add_special_tokens=False, verbose=False).input_ids
    step = length - len(prefix)
    if step < 1 or len(tokens) < count * step:
        raise TraceError("text is too short", where=str(text), got=f"{len(tokens)} tokens",
                         expected=f"{count} sequences of {length}")
    return np.array([prefix + tokens[i * step : (i + 1) * step] for i in range(count)], dtype=np.int64)
