"""Loads a causal language model, from a folder of Hugging Face or a GGUF file, and cuts text into its sequences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.load.gguf_file import GgufFile
from models.load.gguf_llama import read_llama
from models.load.gguf_tokenizer import tokenizer_of
from models.load.hub import (
    GGUF,
    check_complete,
    check_device,
    fingerprint,
    locate,
    quiet,
    require_torch,
    translated,
    variant,
)
from stamp_hw.errors import StampError, TraceError

#: Characters of a text that are read at most.
_MAX_TEXT = 1 << 30
_LAYOUT = "a causal language model in Hugging Face layout"


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
    """The causal language model of a folder, GGUF file, known name or hub id, its weights cast to `dtype`, if one is
    given; a GGUF's are dequantized to float32 first.

    Raises TraceError when it is not there, not reachable, no causal language model, pickled, incomplete or damaged;
    ToolError without torch, the device or the library that reads GGUF.
    """
    require_torch()
    check_device(device)
    with quiet():
        place = locate(name)
        file = place if place.is_file() else _gguf_in(place, name)
        model, tokenizer = _from_folder(place, name, dtype) if file is None else _from_gguf(file, name, dtype)
        with translated(name, _LAYOUT):
            model = model.eval().to(device)
    return Checkpoint(name=name, model=model, tokenizer=tokenizer, fingerprint=fingerprint(place))


def _gguf_in(folder: Path, name: str) -> Path | None:
    """The GGUF file of a folder that holds nothing else to load. Raises TraceError where there are several."""
    files = sorted(folder.glob(f"*{GGUF}"))
    if not files or (folder / "config.json").is_file() or any(folder.glob("*.safetensors")):
        return None
    if len(files) > 1:
        raise TraceError("several GGUF files", where=name, got=f"{files[0].name}, {files[1].name}",
                         expected="one, or the file itself")
    return files[0]


def _from_folder(folder: Path, name: str, dtype: str | None) -> tuple[Any, Any]:
    """(model, tokenizer) of a folder in Hugging Face layout; no code of it is run."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    if (folder / "model_index.json").is_file():
        raise TraceError("not a language model", where=name, got="a pipeline",
                         expected="a causal language model; an image model takes --prompts")
    chosen = variant(folder, name)
    with translated(name, _LAYOUT):
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        made = CLASSES.get(config.model_type)
        said = config.architectures or [made]
    # A masked or a sequence-to-sequence model of the same type has weights that fit, and predicts nothing.
    if made is None or made.lower() not in [str(one).lower() for one in said]:
        raise TraceError("not a causal language model that transformers knows", where=name,
                         got=f"model type {config.model_type}, {said[0]}", expected=made or "a known model type")
    with translated(name, _LAYOUT):
        loaded: Any = getattr(transformers, made).from_pretrained(
            folder, config=config, dtype=getattr(torch, dtype) if dtype else "auto", use_safetensors=True,
            local_files_only=True, output_loading_info=True, variant=chosen)
    model, report = loaded
    check_complete(report, name)
    with translated(name, _LAYOUT):
        return model, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _from_gguf(path: Path, name: str, dtype: str | None) -> tuple[Any, Any]:
    """(model, tokenizer) of the GGUF file of a Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    found = read_llama(GgufFile.open(path, name))
    tokenizer = tokenizer_of(found.file, path.parent)
    state = {key: torch.from_numpy(value) for key, value in found.weights()}
    with translated(name, "a GGUF of a Llama"):
        loaded: Any = LlamaForCausalLM.from_pretrained(
            None, config=LlamaConfig(**found.config), state_dict=state, dtype=getattr(torch, dtype or "float32"),
            output_loading_info=True)
    model, report = loaded
    check_complete(report, name)
    return model, tokenizer


def sequences(checkpoint: Checkpoint, text: Path, count: int, length: int) -> np.ndarray:
    """int64[count, length]: the first tokens of a text file.

    Each sequence begins with the tokenizer's BOS, if it adds one. Raises TraceError for an unreadable or too short
    text, or a length that the model has no positions for.
    """
    # Where positions are no table, a model may not say how many it takes.
    limit = getattr(checkpoint.model.config.get_text_config(), "max_position_embeddings", None)
    if not 1 <= length <= (length if limit is None else limit):
        raise TraceError("sequence length out of range", where=checkpoint.name, got=length,
                         expected=f"1…{limit or ''}")
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
