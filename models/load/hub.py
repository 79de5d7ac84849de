"""Where a model's files are: a local folder, a GGUF file, a known name, or the Hugging Face hub; no pickles, and one
clear error for the rest."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stamp_hw.errors import ToolError, TraceError
from stamp_hw.formats.safetensors_file import strict_json
from stamp_hw.rooms import build_folder

#: What is fetched of a hub repository: never pickles, never code.
_WANTED = ("*.json", "*.safetensors", "*tokenizer.model", "*spiece.model")
GGUF = ".gguf"
#: Models that have a name here → the command that makes the folder of that name in the build folder.
KNOWN = {"smollm2": "make smollm2"}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
#: The hub must answer its first request within this many seconds.
_HUB_TIMEOUT_S = 10
_WEIGHTS = re.compile(r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>[A-Za-z0-9_]+))?(?:-\d+-of-\d+)?\.safetensors")


def require_torch() -> None:
    """Raise ToolError if torch, transformers or what they need is not installed."""
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise ToolError("this needs torch and transformers", got=str(error), expected="`make venv-trace`") from error
    del torch


def check_device(device: str) -> str:
    """`device`, if torch can compute on it. Raises ToolError."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ToolError("no CUDA device", where="--device", got=f"torch {torch.__version__}",
                        expected="cpu, or a torch with CUDA and a GPU")
    return device


def local(name: str) -> Path | None:
    """What is on this machine of a model: a folder, or a GGUF file; None where only the hub can tell.

    Raises TraceError for a path that leads nowhere or to another file, and for a known model that is not made yet.
    """
    path = Path(name)
    if path.is_dir() or (path.is_file() and path.suffix == GGUF):
        return path
    if path.exists():
        raise TraceError("not a model", where=name, got="a file", expected=f"a model's folder, a *{GGUF} or a hub id")
    if name in KNOWN:
        folder = build_folder() / name
        if not folder.is_dir():
            raise TraceError("not made yet", where=name, got=f"no {folder}", expected=f"`{KNOWN[name]}`")
        return folder
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise TraceError("no such folder", where=name, expected="a model's folder or a hub id")
    return None


def locate(name: str) -> Path:
    """A folder that holds the model, or its GGUF file: what is `local`, or the hub's snapshot, fetched when it is
    reachable.

    One short request goes first, because `from_pretrained` itself retries an unreachable hub for half a minute.
    """
    from huggingface_hub import HfApi, snapshot_download

    if (found := local(name)) is not None:
        return found
    try:
        listing = HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
    except Exception as error:  # the hub's client raises what its transport raises
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except Exception:
            raise TraceError("no such folder, and the hub does not give it", where=name, got=first_line(error),
                             expected="a local folder, or a hub id and a network") from error
    files = [item.rfilename for item in listing.siblings or []]
    if not any(file.endswith(".safetensors") for file in files):
        raise TraceError("pickled checkpoint refused", where=name, got="a hub repository without safetensors",
                         expected="*.safetensors")
    with translated(name, "a model in Hugging Face layout"):
        return Path(snapshot_download(name, allow_patterns=list(_WANTED), ignore_patterns=superfluous(files)))


def superfluous(files: Iterable[str]) -> list[str]:
    """Of a repository's files those that `variant` would not choose: the same weights in another precision."""
    variants: dict[PurePosixPath, dict[str, str | None]] = {}
    for file in map(PurePosixPath, files):
        if match := _WEIGHTS.fullmatch(file.name):
            variants.setdefault(file.parent, {})[str(file)] = match["variant"]
    return [file for found in variants.values() for file, which in found.items() if which != _choice(found.values())]


def variant(folder: Path, name: str) -> str | None:
    """Which weights of a folder are to be loaded: the plain ones (None), or the variant (``bf16``) where only that is.

    Raises TraceError for a folder without safetensors.
    """
    found = {match["variant"] for path in folder.glob("*.safetensors") if (match := _WEIGHTS.fullmatch(path.name))}
    if not found and not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLED)
        raise TraceError("pickled checkpoint refused" if pickled else "no checkpoint", where=name,
                         got=pickled[0] if pickled else None, expected="a folder with *.safetensors")
    return _choice(found)


def _choice(variants: Iterable[str | None]) -> str | None:
    named = set(variants)
    return None if None in named or not named else min(filter(None, named))


def read_json(path: Path, name: str) -> dict[str, Any]:
    """A JSON object of a model's folder. Raises TraceError."""
    try:
        value = strict_json(path.read_bytes(), path)
    except OSError as error:
        raise TraceError("cannot load model", where=name, got=f"{path.name}: {error.strerror}",
                         expected="a model in Hugging Face layout") from error
    if not isinstance(value, dict):
        raise TraceError("cannot load model", where=name, got=f"{path.name}: no object",
                         expected="a model in Hugging Face layout")
    return value


def fingerprint(model: Path) -> str:
    """Tells this state of a folder, or of a file, from others: SHA-256 over names, sizes and times of its files.

    Tens of gigabytes of weights are not read for it; who copies a model elsewhere gets another fingerprint. Dumps in
    progress are no part of a model, wherever they are.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in (model, *model.rglob("*")) if path.is_file()):
        if any(part.endswith(".partial") for part in path.relative_to(model).parts):
            continue
        facts = path.stat()
        digest.update(f"{path.relative_to(model)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def check_complete(report: Mapping[str, Any], name: str) -> None:
    """Raise TraceError where a loader filled in random weights; `report` is its loading info."""
    for what in ("missing_keys", "mismatched_keys"):
        if report[what]:
            raise TraceError(f"checkpoint has {what.replace('_', ' ')}", where=name, got=min(map(str, report[what])),
                             expected="every weight of its configuration")


@contextlib.contextmanager
def translated(name: str, expected: str) -> Iterator[None]:
    """Whatever a loader makes of a damaged file becomes one TraceError."""
    try:
        yield
    except (TraceError, ToolError):
        raise
    except Exception as error:  # loaders of foreign files raise anything from OSError to their own classes
        raise TraceError("cannot load model", where=name, got=first_line(error), expected=expected) from error


@contextlib.contextmanager
def running(name: str) -> Iterator[None]:
    """What torch or a pipeline raises while a model runs (no memory, sizes it refuses) becomes one TraceError."""
    try:
        with quiet():
            yield
    except (ValueError, RuntimeError, IndexError) as error:
        raise TraceError("the model does not run", where=name, got=first_line(error)) from error


def first_line(error: Exception) -> str:
    """Class and first line of what a library raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The libraries' progress bars and warnings off, and back as they were: errors are ours to print."""
    from transformers.utils import logging as transformers_logging

    # Who has not imported diffusers does not run it, and it takes seconds to import.
    loggers: list[Any] = [transformers_logging, *filter(None, [sys.modules.get("diffusers.utils.logging")])]
    before = [(module, module.is_progress_bar_enabled(), module.get_verbosity()) for module in loggers]
    for module in loggers:
        module.disable_progress_bar()
        module.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for module, bars, level in before:
            module.set_verbosity(level)
            if bars:
                module.enable_progress_bar()
