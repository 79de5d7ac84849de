"""Loads a text-to-image pipeline of a known family (PixArt, SANA) from a folder in the hub's layout or a hub id."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.load.hub import (
    check_complete,
    check_device,
    fingerprint,
    locate,
    quiet,
    read_json,
    require_torch,
    translated,
    variant,
)
from stamp_hw.errors import ToolError, TraceError
from stamp_hw.formats.safetensors_file import DTYPES

INDEX = "model_index.json"


@dataclass(frozen=True, slots=True)
class _Family:
    """`name` in `models.load.kinds`; classes that its parts may have."""

    name: str
    transformer: tuple[str, ...]
    text_encoder: tuple[str, ...]
    vae: tuple[str, ...]


# The older checkpoints call the transformer by the class that it was split from; diffusers loads it as the newer one.
_PIXART = _Family("pixart", ("PixArtTransformer2DModel", "Transformer2DModel"), ("T5EncoderModel",), ("AutoencoderKL",))
#: Class of the pipeline → family.
_PIPELINES = {"PixArtSigmaPipeline": _PIXART, "PixArtAlphaPipeline": _PIXART,
              "SanaPipeline": _Family("sana", ("SanaTransformer2DModel",), ("Gemma2Model",), ("AutoencoderDC",))}
_LAYOUT = f"{', '.join(_PIPELINES)} in Hugging Face layout"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePipeline:
    """A loaded `pipe`, its `family` in `models.load.kinds`, its name as the user gave it, what tells its files
    apart."""

    name: str
    family: str
    pipe: Any
    fingerprint: str

    @property
    def transformer(self) -> Any:
        """The model whose layers are captured."""
        return self.pipe.transformer

    @property
    def pixels_a_token(self) -> int:
        """Side of the square of pixels that is a token: the VAE's factor times the patch."""
        return int(self.pipe.vae_scale_factor) * int(self.transformer.config.patch_size)


def load_pipeline(name: str, dtype: str | None = None, device: str = "cpu") -> ImagePipeline:
    """The pipeline of a local folder or hub id; `dtype` defaults to that of the transformer's weights on disk.

    Raises TraceError when it is not there, not reachable, of no known family, pickled, incomplete or damaged;
    ToolError without torch, the device or a tokenizer's package.
    """
    require_torch()
    check_device(device)
    import diffusers
    import torch
    import transformers

    with quiet():
        folder = locate(name)
        if not (folder / INDEX).is_file():
            raise TraceError("not a text-to-image pipeline", where=name, got=f"no {INDEX}",
                             expected=f"{_LAYOUT}; a language model takes --text")
        index = read_json(folder / INDEX, name)
        family = _PIPELINES.get(str(index.get("_class_name")))
        if family is None:
            raise TraceError("not a pipeline of a known family", where=name, got=str(index.get("_class_name")),
                             expected=" or ".join(_PIPELINES))
        parts: dict[str, Any] = {}
        chosen: Any = getattr(torch, dtype or _dtype_on_disk(folder / "transformer", name))
        for part, library, wanted in (("transformer", diffusers, family.transformer), ("vae", diffusers, family.vae),
                                      ("text_encoder", transformers, family.text_encoder)):
            given = index.get(part)
            if not isinstance(given, list) or len(given) != 2 or given[1] not in wanted:
                raise TraceError("not a pipeline of a known family", where=f"{name}, {part}", got=given,
                                 expected=" or ".join(wanted))
            parts[part] = _load_part(getattr(library, given[1]), folder / part, name, chosen)
        _check_tokenizer(folder / "tokenizer", name)
        with translated(name, _LAYOUT):
            pipe = getattr(diffusers, index["_class_name"]).from_pretrained(folder, local_files_only=True, **parts)
            pipe = pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    return ImagePipeline(name=name, family=family.name, pipe=pipe, fingerprint=fingerprint(folder))


def _load_part(cls: Any, folder: Path, name: str, dtype: Any) -> Any:
    """A model of the pipeline, in evaluation mode, every weight of it from the disk."""
    where = f"{name}, {folder.name}"
    chosen = variant(folder, where)
    key = "dtype" if cls.__module__.startswith("transformers") else "torch_dtype"
    with translated(where, f"{cls.__name__} in Hugging Face layout"):
        loaded: Any = cls.from_pretrained(folder, local_files_only=True, use_safetensors=True, variant=chosen,
                                          output_loading_info=True, **{key: dtype})
    model, report = loaded
    check_complete(report, where)
    return model.eval()


def _dtype_on_disk(folder: Path, name: str) -> str:
    """The dtype that most of the stored tensors have."""
    from safetensors import safe_open

    where = f"{name}, {folder.name}"
    chosen = variant(folder, where)
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        if chosen is None or f".{chosen}" in path.name:
            with translated(where, "safetensors"), safe_open(path, "np") as file:
                counts.update(file.get_slice(tensor).get_dtype() for tensor in file.keys())  # noqa: SIM118
    code = counts.most_common(1)[0][0] if counts else "none"
    names = {code: dtype for dtype, code in DTYPES.items()}
    if code not in names:
        raise TraceError("weights are not floats that a trace can hold", where=where, got=code,
                         expected=" or ".join(DTYPES))
    return names[code]


def _check_tokenizer(folder: Path, name: str) -> None:
    """A tokenizer's vocabulary is there (transformers makes an empty one without it), and can be read: one that is a
    SentencePiece model alone needs two packages."""
    if (folder / "tokenizer.json").is_file():
        return
    if not any(folder.glob("*.model")):
        raise TraceError("no tokenizer", where=f"{name}, tokenizer", expected="tokenizer.json or a SentencePiece model")
    try:
        import google.protobuf
        import sentencepiece  # noqa: F401
    except ImportError as error:
        raise ToolError("this tokenizer needs sentencepiece and protobuf", where=f"{name}, tokenizer", got=str(error),
                        expected="`make venv-trace`") from error
    del google
