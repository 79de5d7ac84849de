"""GPTQ of a model's layers on calibration text or prompts, each for the input that it sees in the float model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.dump.capture import hooked
from models.evaluate.given_weights import Given
from models.load.kinds import Found
from stamp_hw.config import NpuConfig
from stamp_hw.errors import LayerError
from stamp_hw.gptq import gptq
from stamp_hw.hadamard import fold
from stamp_hw.torch.hadamard import sums


def gptq_weights(layers: Sequence[Found], run: Callable[[], None], rotations: Mapping[str, Tensor],
                 centers: Mapping[str, Tensor], config: NpuConfig, progress: Callable[[str], None]) -> dict[str, Given]:
    """Layer of 4 bits → its weights by GPTQ for x · rotation − center, behind the Hadamard unit where its job has one,
    over everything that `run` runs.

    Raises LayerError for a layer that never runs, and for NaN or infinite activations.
    """
    configs = {layer.name: config.for_kind(layer.kind) for layer in layers}
    layers = [layer for layer in layers if configs[layer.name].job.weight_bits == 4]
    products: dict[str, np.ndarray] = {}

    def hook(layer: Found, x: Tensor, _: Tensor) -> None:
        x = x.detach().float()
        if isinstance(layer.module, torch.nn.Conv2d):
            x = x.movedim(1, -1)
        if layer.name in rotations:
            x = x @ rotations[layer.name].to(x)
        if layer.name in centers:
            x = x - centers[layer.name].to(x)
        x = x.reshape(-1, x.shape[-1])
        block = configs[layer.name].hadamard
        if block is not None:
            x = sums(x, block)
        seen = (x.T @ x).double().cpu().numpy()
        products[layer.name] = products[layer.name] + seen if layer.name in products else seen

    with hooked(layers, hook), torch.inference_mode():
        run()
    found = {}
    for number, layer in enumerate(layers, 1):
        progress(f"GPTQ, layer {number}/{len(layers)}")
        if layer.name not in products:
            raise LayerError("layer does not run", where=f"layer {layer.name}", expected="one run in a calibration")
        weight = layer.weight.detach().flatten(1).double().cpu()
        if layer.name in rotations:
            weight = torch.linalg.solve(rotations[layer.name].double().cpu(), weight.T).T
        own = configs[layer.name]
        real = weight.float().numpy() if own.hadamard is None else fold(weight.float().numpy(), own.hadamard)
        found[layer.name] = Given(gptq(real, products.pop(layer.name), own.job.weight_group, f"layer {layer.name}"),
                                  None)
    return found
