"""A running model whose linear layers are the hardware's: swaps each for a `StampLinear` and back, and watches them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.dump.capture import hooked
from models.dump.ranges import Look, Ranges, largest, threshold_of
from models.evaluate.given_weights import Given
from models.evaluate.memory import give_back
from models.load.kinds import Found
from models.load.tensors import absmax as magnitude
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import decibels
from stamp_hw.errors import LayerError
from stamp_hw.layer import MIN_SCALE
from stamp_hw.params import OUT_WIDTH
from stamp_hw.positions import Which
from stamp_hw.torch.conv import StampConv
from stamp_hw.torch.linear import StampLinear
from stamp_hw.torch.rotated import LastProduct

_SEED = 0  # of the control's permutations, which differ by layer
_PART = 1 << 17  # values of an output that are added up at a time: their float64 copies stay in the cache
_LARGE = 1 << 13  # output channels, as of a vocabulary, from which on a layer's tensors are most of what a run holds
_TOKENS = 128  # whose outputs of such a layer are compared at a time
TOP = (1 << (OUT_WIDTH - 1)) - 1  # the largest INT16 code, of input and output


@dataclass(slots=True)
class Watch:
    """Signal and noise power of a layer's output, values that saturated, and outliers by position, over
    the runs of one scheme."""

    signal: float = 0.0
    noise: float = 0.0
    values: int = 0
    bits: float = 0.0
    scale_bits: float = 0.0
    x_saturated: int = 0
    h_saturated: int = 0
    y_saturated: int = 0
    outliers: Counter[int] = field(default_factory=Counter)

    @property
    def sqnr_db(self) -> float:
        """SQNR of the output, see `stamp_hw.engine.linear.decibels`."""
        return decibels(self.signal, self.noise)


@dataclass(slots=True)
class _Slot:
    """A layer and where the model holds it."""

    found: Found
    parent: Any
    attribute: str
    stamp: StampLinear
    installed: Any  # what stands in the model: `stamp`, or the convolution around it
    watch: Watch = field(default_factory=Watch)


class IntegerModel:
    """Both forms of a model's linear layers; which of them stands in the model is switched at any time.

    Parameters
    ----------
    model : in evaluation mode
    layers : the layers to replace, as `models.load.kinds.survey` finds them
    config : gives the weights' bits and groups, and the hardware; each `integer` run has a job of its own
    given : layer → weights or rotation to use instead of rounding the model's
    rotations : layer → float32[K, K] that its input is multiplied by, see `rotations_of`
    centers : layer → float32[K] that is subtracted from x · rotation, see `models.evaluate.centers`
    ranges : layer → what calibration runs showed of x · rotation − center and y, for static scales; None for `self`
    outliers : layer → tokens of the model's sequence that are kept out of the transform; "auto" looks, without an entry
        there are none
    """

    def __init__(self, model: Any, layers: Sequence[Found], config: NpuConfig, *,
                 given: Mapping[str, Given] | None = None, rotations: Mapping[str, Tensor] | None = None,
                 centers: Mapping[str, Tensor] | None = None, ranges: Mapping[str, Ranges] | None = None,
                 outliers: Mapping[str, Which] | None = None) -> None:
        self._slots = [
            _slot(model, found, config, (given or {}).get(found.name), (rotations or {}).get(found.name),
                  (centers or {}).get(found.name),
                  None if ranges is None else ranges[found.name], (outliers or {}).get(found.name, "off"))
            for found in layers]
        last = LastProduct()  # of all layers: those that read the same tokens follow one another
        for slot in self._slots:
            if slot.stamp.rotation is not None and slot.stamp.rotation.device.type == "cpu":
                slot.stamp.last = last
        self._by_name = {slot.found.name: slot for slot in self._slots}

    @contextmanager
    def integer(self, config: NpuConfig, *, activations: bool = True, watch: bool = False,
                shuffled: bool = False) -> Iterator[None]:
        """While the block runs, the model computes with `config`'s job; with `activations` False only its weights are
        the integers'. `watch` compares every layer's output with the float layer's on the same input; `shuffled`
        permutes the tokens around every layer that sees them."""
        handles = []
        give_back()
        for slot in self._slots:
            _use(slot, config, activations=activations, shuffled=shuffled)
            slot.stamp.prepare()
            setattr(slot.parent, slot.attribute, slot.installed)
            if slot.stamp.out_features >= _LARGE:
                handles.append(slot.installed.register_forward_pre_hook(lambda *_: give_back()))
            if watch:
                handles.append(slot.installed.register_forward_hook(_compare(slot)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for slot in self._slots:
                setattr(slot.parent, slot.attribute, slot.found.module)

    def output(self, name: str, config: NpuConfig, x: Tensor, *, shuffled: bool = False) -> Tensor:
        """What the layer of that name gives for an input of the model's, with `config`'s job."""
        slot = self._by_name[name]
        _use(slot, config, activations=True, shuffled=shuffled)
        found: Tensor = slot.installed(x)
        return found

    @property
    def layers(self) -> list[Found]:
        """The layers that there are both forms of."""
        return [slot.found for slot in self._slots]

    def set_grid(self, grid: tuple[int, int]) -> None:
        """(H, W) of the model's tokens, for the layers that see them."""
        for slot in self._slots:
            if slot.found.sees == "tokens":
                slot.stamp.grid = grid

    @property
    def kinds(self) -> dict[str, str]:
        """Layer → its kind."""
        return {slot.found.name: slot.found.kind for slot in self._slots}

    def watched(self) -> dict[str, Watch]:
        """What `watch` has seen since the last call, by layer."""
        seen = {}
        for slot in self._slots:
            stamp, watch = slot.stamp, slot.watch
            watch.values, watch.bits, watch.scale_bits = stamp.values, stamp.bits, stamp.scale_bits
            watch.x_saturated, watch.y_saturated = int(stamp.x_saturated), int(stamp.y_saturated)
            watch.h_saturated = int(stamp.h_saturated)
            stamp.values = stamp.x_saturated = stamp.h_saturated = stamp.y_saturated = 0
            watch.outliers, stamp.found, stamp.bits, stamp.scale_bits = stamp.found, Counter(), 0.0, 0.0
            seen[slot.found.name], slot.watch = watch, Watch()
        return seen


def _slot(model: Any, found: Found, config: NpuConfig, given: Given | None, rotation: Tensor | None,
          center: Tensor | None, ranges: Ranges | None, outliers: Which) -> _Slot:
    path, _, attribute = found.name.rpartition(".")
    tokens, config = found.sees == "tokens", config.for_kind(found.kind)
    options: dict[str, Any] = {
        "name": found.name, "center": center, "transform": tokens, "single": found.sees == "pooled",
        "outliers": outliers if tokens else "off"}
    if ranges is not None:
        options |= {name: max(absmax / TOP, MIN_SCALE) if absmax else 1.0
                    for name, absmax in (("s_x", ranges.x), ("s_y", ranges.y))} | {"threshold": ranges.threshold}
    if given is not None and given.weights is not None:
        stamp = StampLinear(given.weights, found.bias, config, in_features=found.weight.shape[1], rotation=rotation,
                            **options)
    else:
        stamp = StampLinear.from_linear(found.module, config, rotation=rotation, **options)
    stamp = stamp.to(found.weight.device).eval()
    stamp.rotation = rotation  # the one that layers of a width share, in place of a copy of their own
    give_back()
    installed = StampConv(stamp) if isinstance(found.module, torch.nn.Conv2d) else stamp
    return _Slot(found, model.get_submodule(path), attribute, stamp, installed)


def _use(slot: _Slot, config: NpuConfig, *, activations: bool, shuffled: bool) -> None:
    """Have a layer compute with `config`'s job."""
    slot.stamp.config, slot.stamp.activations = config.for_kind(slot.found.kind), activations
    slot.stamp.shuffled = _SEED if shuffled and slot.found.sees == "tokens" else None


def _compare(slot: _Slot) -> Callable[..., None]:
    """A hook that adds up the powers of the float output and of the difference to it."""

    def hook(_: Any, args: tuple[Tensor, ...], y: Tensor) -> None:
        parts = [(args[0], y)]
        if slot.stamp.out_features >= _LARGE:
            give_back()
            parts = list(zip(*(values.split(_TOKENS, -2) for values in (args[0], y)), strict=True))
        for x, found in parts:
            want = slot.found.module(x)
            slot.watch.signal += _power(want)
            slot.watch.noise += _power(want.sub_(found))

    return hook


def _power(values: Tensor) -> float:
    """Sum of squares, added in float64; of a part at a time, since they are converted."""
    return sum(float(torch.linalg.vector_norm(part, dtype=torch.float64)) ** 2
               for part in values.reshape(-1).split(_PART))


def ranges_of(layers: Sequence[Found], run: Callable[[], None], rotations: Mapping[str, Tensor],
              centers: Mapping[str, Tensor] | None = None, outliers: Mapping[str, Which] | None = None
              ) -> dict[str, Ranges]:
    """Layer → ranges of x · rotation − center, its `outliers` aside, and of y over everything that `run` runs.

    Raises LayerError for a layer that never runs, and for NaN or infinite values.
    """
    which: dict[str, Which] = {layer.name: (outliers or {}).get(layer.name, "off") if layer.sees == "tokens" else "off"
                               for layer in layers}
    looks: dict[str, Look] = {}
    tops: dict[str, float] = {}

    def hook(layer: Found, x: Tensor, y: Tensor) -> None:
        x = x.detach()
        if isinstance(layer.module, torch.nn.Conv2d):
            x = x.movedim(1, -1)
        if layer.name in rotations:
            x = x.float() @ rotations[layer.name].to(x.device)
        if layer.name in (centers or {}):
            x = x.float() - (centers or {})[layer.name].to(x.device)
        low, high = x.aminmax(dim=-1)  # no copy of x, as its magnitudes would be
        absmax = high.maximum(-low).float().reshape(-1, x.shape[-2] if x.dim() > 1 else 1).cpu().numpy()
        top = magnitude(y)
        if not (np.isfinite(absmax).all() and math.isfinite(top)):
            raise LayerError("NaN or infinite activations", where=f"layer {layer.name}", expected="finite values")
        if which[layer.name] == "off":
            absmax = absmax.max(keepdims=True)
        looks.setdefault(layer.name, Look()).add(absmax)
        tops[layer.name] = max(tops.get(layer.name, 0.0), top)

    with hooked(layers, hook), torch.inference_mode():
        run()
    found = {}
    for layer in layers:
        if layer.name not in looks:
            raise LayerError("layer does not run", where=f"layer {layer.name}", expected="one run in a calibration")
        runs, own = looks[layer.name].rows, which[layer.name]
        threshold = threshold_of(runs, own)
        found[layer.name] = Ranges(largest(runs, own, threshold), tops[layer.name], threshold)
    return found


def rotations_of(layers: Sequence[Found], given: Mapping[str, Given], kind: str | None, seed: int = 0
                 ) -> dict[str, Tensor]:
    """Layer → float32[K, K]: the given rotations, and for the other layers of `kind` "hadamard" a randomized Hadamard.

    One matrix a width: layers that read the same input must share it to be folded into what is in front of them.
    """
    from stamp_hw.features import hadamard

    made: dict[int, Tensor] = {}
    rotations = {}
    for layer in layers:
        channels, mine = layer.weight.shape[1], given.get(layer.name)
        if mine is not None and (mine.rotation is not None or mine.weights is not None):
            if mine.rotation is not None:
                rotations[layer.name] = torch.from_numpy(mine.rotation).to(layer.weight.device)
        elif kind == "hadamard":
            if channels not in made:
                made[channels] = torch.from_numpy(hadamard(channels, seed).astype(np.float32)).to(layer.weight.device)
            rotations[layer.name] = made[channels]
    return rotations
