"""Loads a Llama from a local folder or the Hugging Face hub: safetensors only, one clear error for everything else."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.errors import StampError, ToolError, TraceError

#: What is fetched of a hub repository: never pickles, never code.
_WANTED = ("*.json", "*.safetensors", "tokenizer.model")
#: The hub must answer its first request within this many seconds.
_HUB_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded model in evaluation mode, its tokenizer, its name as the user gave it."""

    name: str
    model: Any
    tokenizer: Any


def run_command(main: Callable[[], int]) -> int:
    """Exit code of a module's `main`: a StampError is one line on stderr and 2."""
    try:
        return main()
    except StampError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def require_torch() -> None:
    """Raise ToolError if torch, transformers or what they need is not installed."""
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise ToolError("this needs torch and transformers", got=str(error), expected="`make venv-trace`") from error
    del torch


def load(name: str, dtype: str) -> Checkpoint:
    """The ``LlamaForCausalLM`` of a local folder or hub id, its weights cast to `dtype` (``bfloat16``, …).

    Raises TraceError when it is not there, not reachable, no Llama, pickled, incomplete or damaged; ToolError without
    torch.
    """
    require_torch()
    import torch
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    with _quiet():
        folder = _locate(name)
        if not any(folder.glob("*.safetensors")):
            pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
            raise TraceError("pickled checkpoint refused" if pickled else "no checkpoint", where=name,
                             got=pickled[0] if pickled else None, expected="a folder with *.safetensors")
        with _translated(name):
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "llama":
            raise TraceError("not a LlamaForCausalLM", where=name, got=f"model type {config.model_type}",
                             expected="model type llama")
        with _translated(name):
            loaded: Any = LlamaForCausalLM.from_pretrained(
                folder, config=config, dtype=getattr(torch, dtype), use_safetensors=True, local_files_only=True,
                output_loading_info=True)
        model, report = loaded
        for what in ("missing_keys", "mismatched_keys"):
            if report[what]:
                raise TraceError(f"checkpoint has {what.replace('_', ' ')}", where=name,
                                 got=min(map(str, report[what])), expected="every weight of its configuration")
        with _translated(name):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Checkpoint(name=name, model=model.eval(), tokenizer=tokenizer)


def sequences(checkpoint: Checkpoint, text: Path, count: int, length: int) -> np.ndarray:
    """int64[count, length]: the first tokens of a text file.

    Each sequence begins with the tokenizer's BOS, if it adds one. Raises TraceError for an unreadable or too short
    text, or a length that the model has no positions for.
    """
    limit = checkpoint.model.config.max_position_embeddings
    if not 1 <= length <= limit:
        raise TraceError("sequence length out of range", where=checkpoint.name, got=length, expected=f"1…{limit}")
    if count < 1:
        raise TraceError("number of sequences out of range", got=count, expected="at least 1")
    try:
        with text.open(encoding="utf-8") as stream:
            content = stream.read(64 * count * length)  # no tokenizer averages 64 characters a token
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


def _locate(name: str) -> Path:
    """A local folder that holds the model: the given one, or the hub's snapshot, fetched when it is reachable.

    One short request goes first, because `from_pretrained` itself retries an unreachable hub for half a minute.
    """
    from huggingface_hub import HfApi, snapshot_download

    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise TraceError("not a model", where=name, got="a file", expected="a model's folder or a hub id")
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise TraceError("no such folder", where=name, expected="a model's folder or a hub id")
    try:
        listing = HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
    except Exception as error:  # the hub's client raises what its transport raises
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except Exception:
            raise TraceError("no such folder, and the hub does not give it", where=name, got=_first_line(error),
                             expected="a local folder, or a hub id and a network") from error
    files = [item.rfilename for item in listing.siblings or []]
    if not any(file.endswith(".safetensors") for file in files):
        raise TraceError("pickled checkpoint refused", where=name, got="a hub repository without safetensors",
                         expected="*.safetensors")
    with _translated(name):
        return Path(snapshot_download(name, allow_patterns=list(_WANTED)))


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Whatever a loader makes of a damaged file becomes one TraceError."""
    try:
        yield
    except TraceError:
        raise
    except Exception as error:  # loaders of foreign files raise anything from OSError to their own classes
        raise TraceError("cannot load model", where=name, got=_first_line(error),
                         expected="a LlamaForCausalLM in Hugging Face layout") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The loaders' progress bars and warnings off, and back as they were: errors are ours to print."""
    from transformers.utils import logging as transformers_logging

    bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
