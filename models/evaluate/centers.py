"""A static mean of each channel, from other text: the control of how much of a gain is the mean that all tokens share.

The mean is subtracted in front of a layer and its product with the weights added to the bias. Where something in front
of the layer has an offset of its own (a norm's bias), hardware gets that for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.dump.capture import hooked
from models.dump.ranges import outliers_of_run
from models.load.kinds import Found
from stamp_hw import outliers
from stamp_hw.positions import Which


def centers_of(layers: Sequence[Found], run: Callable[[], None], rotations: Mapping[str, Tensor],
               which: Mapping[str, Which]) -> dict[str, Tensor]:
    """Layer that sees the model's tokens → float32[K], mean of x · rotation over the tokens of everything that `run`
    runs, outliers aside (each sequence's own where they are looked for)."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def hook(layer: Found, x: Tensor, _: Tensor) -> None:
        if layer.sees != "tokens":
            return
        x = x.detach().float()
        if isinstance(layer.module, torch.nn.Conv2d):
            x = x.movedim(1, -1).flatten(1, 2)
        if layer.name in rotations:
            x = x @ rotations[layer.name].to(x)
        for sequence in x.reshape(-1, *x.shape[-2:]):
            absmax = sequence.abs().amax(dim=1).cpu().numpy()
            taken = outliers_of_run(absmax, which.get(layer.name, "off"), outliers.threshold(absmax))
            kept = np.setdiff1d(np.arange(len(sequence)), taken)
            total = sequence[torch.from_numpy(kept).to(x.device)].sum(dim=0, dtype=torch.float64).cpu()
            sums[layer.name] = sums[layer.name] + total if layer.name in sums else total
            counts[layer.name] = counts.get(layer.name, 0) + len(kept)

    with hooked(layers, hook), torch.inference_mode():
        run()
    return {name: (total / max(1, counts[name])).float() for name, total in sums.items()}
