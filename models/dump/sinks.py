"""Which leading tokens of a running model are attention sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.dump.capture import hooked
from models.load.hub import running
from models.load.kinds import Found
from stamp_hw.sinks import leading_sinks, norm_ratios


@dataclass(frozen=True, slots=True)
class Sinks:
    """`count` leading tokens to keep out of the transform; the `layer` and the `ratio` of the largest one's norm to the
    median token's (empty and 0 where there is none)."""

    count: int
    layer: str = ""
    ratio: float = 0.0

    def __str__(self) -> str:
        return f"{self.count} ({self.ratio:.0f} × the median norm in {self.layer})" if self.count else "0 (none found)"


def detect_sinks(model: Any, tokens: np.ndarray, layers: Sequence[Found]) -> Sinks:
    """Sinks of a causal language model on int64[S] tokens: the most that any layer has. One pass of the model."""
    import torch

    most, layer, ratio = 0, "", 0.0

    def hook(found: Found, x: Any, _: Any) -> None:
        nonlocal most, layer, ratio
        seen = x.detach().reshape(-1, x.shape[-1]).float().cpu().numpy()
        count = leading_sinks(seen)
        most = max(most, count)
        if count and (largest := float(norm_ratios(seen)[:count].max())) > ratio:
            layer, ratio = found.name, largest

    with hooked(layers, hook), running("looking for sinks"), torch.no_grad():
        model(input_ids=torch.from_numpy(tokens)[None].to(model.device), use_cache=False)
    return Sinks(most, layer, ratio)
