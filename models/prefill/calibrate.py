"""What a text shows of every linear layer: static scales, the absmax beyond which a token is an outlier, and the shift
of the Hadamard unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.dump.capture import hooked
from models.dump.ranges import Ranges, outliers_of_run
from models.evaluate.integer_model import ranges_of
from models.load.hub import running
from models.load.kinds import Found
from stamp_hw import hadamard
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import quantize_input
from stamp_hw.formats.trace import static_scale
from stamp_hw.positions import Which


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Of one layer: `s_x`, `s_y` real value of an INT16 step of input and output; `threshold` as of an entry of a
    trace; `shift` of the Hadamard unit where calibration chooses it, else None."""

    s_x: float
    s_y: float
    threshold: float | None
    shift: int | None


def calibrate(model: Any, layers: Sequence[Found], config: NpuConfig, rows: np.ndarray,
              progress: Callable[[str], None]) -> dict[str, Setting]:
    """Layer → what the float model shows on sequences int64[N, S].

    The shift is the smallest at which nothing but outliers saturates, so that it needs the scales: the sequences run
    twice. Raises LayerError for a layer that never runs, and for NaN or infinite values.
    """
    which: dict[str, Which] = {layer.name: "auto" for layer in layers}

    def run() -> None:
        for number, row in enumerate(rows, 1):
            progress(f"calibrating, sequence {number}/{len(rows)}")
            model(input_ids=torch.from_numpy(row)[None], use_cache=False)

    with running("calibration"):
        ranges = ranges_of(layers, run, {}, outliers=which)
        shifts = _shifts(layers, config, ranges, run)
    return {layer.name: Setting(s_x=static_scale(found.x), s_y=static_scale(found.y), threshold=found.threshold,
                                shift=shifts.get(layer.name))
            for layer in layers for found in (ranges[layer.name],)}


def job_of(config: NpuConfig, kind: str, shift: int | None) -> NpuConfig:
    """The configuration of a layer of this kind, with the shift that was calibrated."""
    own = config.for_kind(kind)
    return own if shift is None else own.with_job(hadamard=shift)


def _shifts(layers: Sequence[Found], config: NpuConfig, ranges: Mapping[str, Ranges], run: Callable[[], None]
            ) -> dict[str, int]:
    """Layer → the smallest shift at which no token of the runs saturates, its outliers aside; of layers whose job
    leaves it open."""
    width = config.hw.in_width
    open_ = [layer for layer in layers
             if (own := config.for_kind(layer.kind)).hadamard is not None and own.job.hadamard == "auto"]
    found: dict[str, int] = {}
    seen: dict[tuple[float, float | None], tuple[Tensor, int]] = {}  # layers that read one tensor have one answer

    def hook(layer: Found, x: Tensor, _y: Tensor) -> None:
        own = ranges[layer.name]
        last = seen.get((own.x, own.threshold))
        if last is None or last[0] is not x:
            values = x[0].float().numpy()
            absmax = np.abs(values).max(axis=1)
            kept = np.delete(values, list(outliers_of_run(absmax, "auto", own.threshold)), axis=0)
            codes, _, _ = quantize_input(kept, static_scale(own.x) * 2.0 ** (16 - width), 0, width)
            last = x, hadamard.least_shift(codes, block_of(config, layer.kind), width) if len(kept) else 0
            seen[own.x, own.threshold] = last
        found[layer.name] = max(found.get(layer.name, 0), last[1])

    if open_:
        with hooked(open_, hook), torch.inference_mode():
            run()
    return found


def block_of(config: NpuConfig, kind: str) -> int:
    """Channels of a block of the Hadamard unit for layers of a kind that it transforms."""
    block = config.for_kind(kind).hadamard
    assert block is not None
    return block
