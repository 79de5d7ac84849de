"""What the rounding noise of each layer should do to a language model's predictions, in nats a token.

To second order the KL divergence of predictions whose logits have moved is half their Fisher information about the
move. At a layer's output with noise e that is ½ E[(g · e)²], g the gradient of the log probability of a token that is
drawn from the model's own prediction. The noise of a token's channels is taken as it is, that of different tokens and
layers as independent: ½ Σ over tokens of (Σ over channels g e)², and contributions of layers add up. One draw a token
gives g of all predicted tokens at once, since the gradients of different predictions are uncorrelated.

The layers read what the float model gives them, so that the figure of one does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.dump.capture import hooked
from models.evaluate.integer_model import IntegerModel
from models.load.hub import running
from models.load.kinds import Found
from stamp_hw.config import NpuConfig
from stamp_hw.schemes import SHUFFLED

#: (layer, scheme, noise of its output, the float output, gradient), float[S, N] each.
See = Callable[[str, str, Tensor, Tensor, Tensor], None]


def look(model: Any, integer: IntegerModel, schemes: Mapping[str, NpuConfig], row: np.ndarray, seed: int,
         see: See) -> None:
    """Call `see` for every layer that reads the tokens int64[length] of a window, and every scheme; the drawn tokens
    are those of `seed`. Freezes the model's weights."""
    model.requires_grad_(False)

    def hook(found: Found, x: Tensor, y: Tensor) -> None:
        clean, want = x.detach(), y.detach()

        def arrived(gradient: Tensor) -> None:
            for name, config in schemes.items():
                got = integer.output(found.name, config, clean, shuffled=name == SHUFFLED)
                see(found.name, name, (got - want)[0], want[0], gradient[0])

        y.register_hook(arrived)

    tokens = torch.from_numpy(row)[None].to(model.device)
    begin = model.get_input_embeddings().register_forward_hook(lambda _, args, y: y.requires_grad_())
    try:
        with hooked(integer.layers, hook), torch.enable_grad():
            log_p = torch.log_softmax(model(input_ids=tokens, use_cache=False).logits[0, :-1].float(), -1)
            drawn = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=torch.Generator().manual_seed(seed))
            log_p.gather(1, drawn.to(log_p.device)).sum().backward()
    finally:
        begin.remove()


def contribution(noise: Tensor, gradient: Tensor) -> float:
    """½ Σ over tokens of (Σ over channels g e)², nats of a window: float[S, N] each."""
    return 0.5 * float((noise * gradient).double().sum(dim=1).pow(2).sum())


def expected_kl(model: Any, integer: IntegerModel, schemes: Mapping[str, NpuConfig], windows: np.ndarray, *,
                seed: int = 0, progress: Callable[[str], None] = lambda line: None) -> dict[str, dict[str, float]]:
    """Scheme → layer → its contribution to the divergence, nats a predicted token of int64[windows, length]; layers
    that a pass does not reach have none. Window n draws its tokens from `seed` + n. Freezes the model's weights."""
    found: dict[str, dict[str, float]] = {name: {} for name in schemes}

    def see(layer: str, name: str, noise: Tensor, _: Tensor, gradient: Tensor) -> None:
        found[name][layer] = found[name].get(layer, 0.0) + contribution(noise, gradient)

    with running("evaluation"):
        for number, row in enumerate(windows):
            progress(f"expected divergence {number + 1}/{len(windows)}")
            look(model, integer, schemes, row, seed + number, see)
    predicted = len(windows) * (windows.shape[1] - 1)
    return {name: {layer: nats / predicted for layer, nats in layers.items()} for name, layers in found.items()}
