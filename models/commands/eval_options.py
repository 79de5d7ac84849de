"""What `stamp-hw eval` is asked for, typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stamp_hw.cli.common import HardwareOptions
from stamp_hw.positions import Which

GPTQ, NEAREST = "gptq", "nearest"  # words of --weights; any other is a file's name


def weights_of(text: str) -> Path | str | None:
    """What --weights says."""
    return None if text == NEAREST else GPTQ if text == GPTQ else Path(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRun:
    """Of a language model: the options that go with --text; `outliers` None is auto, `kv` True without a number."""

    text: Path
    sequences: int = 32
    length: int = 512
    outliers: Which | None = None
    decode: int = 0
    kv: int | None = None
    predict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRun:
    """Of an image model: the options that go with --prompts."""

    prompts: Path
    inference_steps: int = 20
    size: str = "512"
    seed: int = 0
    guidance: float = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    model: str
    schemes: str
    calibration: Path | None
    rotate: str | None
    center: bool
    weights: Path | str | None  # a file, GPTQ, or None for the nearest
    layers: str
    json: Path | None
    dtype: str
    device: str
    jobs: int
