"""`StampLinear`: a drop-in for `torch.nn.Linear` that computes what the hardware computes, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stamp_hw import given, outliers, positions, rescale, shuffle
from stamp_hw import hadamard as reference
from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.engine.linear import INT16_WIDTH, coefficient_step
from stamp_hw.errors import ConfigError, LayerError, brief
from stamp_hw.hadamard import Rotation
from stamp_hw.layer import MAX_SCALE, MIN_SCALE
from stamp_hw.params import OUT_WIDTH
from stamp_hw.positions import Which
from stamp_hw.scale import scale_bits
from stamp_hw.torch import engine, hadamard, mac
from stamp_hw.torch.rotated import LastProduct
from stamp_hw.weights import Weights, quantize_weights

_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class StampLinear(torch.nn.Module):
    """y = x · Wᵀ + b through lifting, quantizer, integer products, rescale and inverse lifting (docs/contract.md §3).

    Input and output are float[…, S, K] and float[…, S, N] of one dtype; between them are the integers of
    `stamp_hw.engine.linear.datapath`, bit for bit for the same scales (`stamp_hw.torch`). Each index of the
    leading dimensions is a sequence; float[K] is a single token.

    Parameters
    ----------
    weights : codes and scales, folded for the Hadamard unit where the job has one (`stamp_hw.hadamard.fold`, K' for
        K); `from_linear` folds and quantizes those of a `Linear`
    bias : float[N] or None
    config : hardware and job; `calibration` is static exactly when `s_x` and `s_y` are given
    s_x, s_y : static scales, the real value of an INT16 step of input and output, or None: every sequence is scaled by
        its own absmax, as the golden model does with `calibration: self` (there the last digit of s_y depends on who
        multiplies the float reference, and with it now and then a code)
    in_features : K, where it is not that of `weights`: a Hadamard unit fills the last block
    rotation : float32[K, K] that multiplies x before the datapath (the weights are for x · rotation), or None. Hardware
        has it folded into the layer before, where that is possible
    center : float32[K] that is subtracted from x · rotation in front of the datapath, or None; what it would have added
        to the product is added to the bias
    grid : (H, W) of the tokens in raster order, or None for a sequence; may be set between runs
    outliers : tokens of a sequence that are kept out of the transform, where the job says "auto": "auto" looks for them
        in every sequence (not in a grid), "off", or their positions; may be set between runs
    threshold : absmax beyond which a token is one; None looks at the sequence (`stamp_hw.outliers.threshold`)
    transform : False for a layer whose tokens are no sequence worth transforming
    single : every token is a sequence of its own (a vector that conditions a whole image)
    activations : False for float activations: only the weights are the integers' then; may be set between runs
    shuffled : seed of a permutation of the tokens in front of the layer, which is undone behind it: the control of what
        their order is worth (`stamp_hw.shuffle`); None for none; may be set between runs

    `x_saturated`, `h_saturated` (in the Hadamard unit), `y_saturated`, `values`, `bits` and `scale_bits` count, over
    all runs, values that saturated, values that came, and the bits that they took as activation codes and in scales;
    `found` counts outliers by their positions.
    It is for inference: no gradient goes through it. `last`, None at first, may be set, on a CPU, to one that layers
    share, for those with the same rotation.

    Buffers, and so the `state_dict`: `wgt` int8[N, K] (K' where folded) and `scale` float64[N] of the weights; where
    there are any `bias` float32[N], `rotation` float32[K, K], `center` float32[K], `steps` float64[2] = (s_x, s_y).
    With the parameters above they are all that makes an output. Loading takes them bit for bit into a layer of the same
    shape and parameters, and refuses other keys, shapes and dtypes; moving to a device moves them; `.half()`,
    `.double()` and the like of a model change nothing of them.

    Raises LayerError for numbers beyond the datapath and for a cast of its integers, ConfigError for a job beyond the
    hardware, and for one with another Hadamard transform than the weights are folded for (when it runs).
    """

    wgt: Tensor
    scale: Tensor
    bias: Tensor | None
    rotation: Tensor | None
    center: Tensor | None
    steps: Tensor | None
    s_x: float | None
    s_y: float | None

    def __init__(self, weights: Weights, bias: Tensor | None, config: NpuConfig, *, s_x: float | None = None,
                 s_y: float | None = None, in_features: int | None = None, rotation: Tensor | None = None,
                 center: Tensor | None = None, grid: tuple[int, int] | None = None, outliers: Which = "auto",
                 threshold: float | None = None, transform: bool = True, single: bool = False,
                 activations: bool = True, shuffled: int | None = None, name: str = "") -> None:
        super().__init__()
        self.config, self.name = config, name
        self.grid, self.transform, self.single = grid, transform, single
        self.outliers, self.threshold, self.shuffled = outliers, threshold, shuffled
        if not (outliers in ("auto", "off") if isinstance(outliers, str) else isinstance(outliers, tuple)
                and positions.ascend_within(outliers, 1 << 62)):
            raise LayerError("outliers are no positions", where=f"layer {name}", got=brief(outliers),
                             expected="auto, off or a tuple of ascending positions")
        if not (threshold is None or given.is_number(threshold) and 0 < threshold <= MAX_SCALE):
            raise LayerError("threshold is none", where=f"layer {name}", got=brief(threshold),
                             expected="a positive number, or None")
        self.activations = activations
        self.last: LastProduct | None = None
        self._block = config.hadamard
        self.out_features, width = weights.codes.shape
        self.in_features = width if in_features is None else in_features
        if width != (self.in_features if self._block is None else reference.channels(self.in_features, self._block)):
            raise LayerError("weights do not fit the input", where=f"layer {name}", got=f"{width} channels",
                             expected=f"{self.in_features}"
                             + ("" if self._block is None else f" in whole blocks of {self._block}"))
        if (s_x is None) != (s_y is None) or not all(s is None or MIN_SCALE <= s <= MAX_SCALE for s in (s_x, s_y)):
            raise LayerError("static scales", where=f"layer {name}", got=f"s_x {s_x}, s_y {s_y}",
                             expected="both in 2^-100…2^100, or none")
        bias = None if bias is None else bias.detach().float().cpu().clone()
        if bias is not None and not torch.isfinite(bias).all():
            raise LayerError("bias holds NaN or infinite values", where=f"layer {name}", expected="finite values")
        for key, value in (("wgt", torch.from_numpy(weights.codes.copy())),
                           ("scale", torch.from_numpy(weights.scale.copy())), ("bias", bias),
                           ("rotation", None if rotation is None else rotation.detach().float().clone(
                               memory_format=torch.contiguous_format)),
                           ("center", None if center is None else center.detach().float().clone()),
                           ("steps", None if s_x is None else torch.tensor([s_x, s_y], dtype=torch.float64))):
            self.register_buffer(key, value)
        self._derive()
        self.x_saturated: int | Tensor = 0
        self.h_saturated: int | Tensor = 0
        self.y_saturated: int | Tensor = 0
        self.values, self.bits, self.scale_bits = 0, 0.0, 0.0
        self.found: Counter[int] = Counter()

    @classmethod
    def from_linear(cls, linear: torch.nn.Linear, config: NpuConfig, *, rotation: Tensor | None = None,
                    **options: Any) -> StampLinear:
        """A `Linear`'s weights rounded to the nearest codes; with a rotation R those of W · R⁻ᵀ (W · R where it is
        orthogonal), so that the product stays what it was."""
        weight = linear.weight.detach().flatten(1).cpu()
        if not torch.isfinite(weight).all():
            raise LayerError("weight holds NaN or infinite values", where=f"layer {options.get('name', '')}",
                             expected="finite values")
        if rotation is not None:
            folded, turned = torch.empty(weight.shape), rotation.double().cpu()
            for start in range(0, len(weight), engine.CHANNELS):  # float64 of them all would be twice the weights
                part = slice(start, start + engine.CHANNELS)
                folded[part] = torch.linalg.solve(turned, weight[part].double().T).T
            weight = folded
        real, block = weight.float().numpy(), config.hadamard
        rounded = quantize_weights(real if block is None else reference.fold(real, block), config.job.weight_bits,
                                   config.job.weight_group)
        return cls(rounded, linear.bias, config, in_features=weight.shape[1], rotation=rotation, **options)

    @property
    def weight(self) -> Tensor:
        """float32[N, K], what the codes stand for: for code that asks a `Linear` for its weight's dtype or device."""
        real = self.wgt * self.scale.float()[:, None]
        return real if self._block is None else hadamard.unfold(real, self._block, self.in_features)

    def _derive(self) -> None:
        """What is kept beside the buffers, made from them."""
        codes = self.wgt.cpu().numpy()
        self._weights = Weights(codes, self.scale.cpu().numpy())
        self._bias = None if self.bias is None else self.bias.cpu().numpy()
        if self.center is not None:
            added = (codes @ self._mixed(self.center.double().cpu()).numpy()) * self._weights.scale
            self._bias = (added + (0.0 if self._bias is None else self._bias)).astype(np.float32)
        self.s_x, self.s_y = (None, None) if self.steps is None else map(float, self.steps)
        self._largest = max(int(codes.max()), -int(codes.min()))
        self._constants: dict[tuple[torch.device, NpuConfig], engine.Constants] = {}
        self._sums: dict[int, np.ndarray] = {}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StampLinear:
        """What `.to`, `.half` and the like do: here they move, and cast nothing. Raises LayerError for `.type`."""
        if fn(self.wgt[:0]).dtype != self.wgt.dtype:
            raise LayerError("its integers cannot be cast", where=f"layer {self.name}", expected="a cast of floats")
        floats = {key: value.dtype for key, value in self._buffers.items()
                  if value is not None and value.is_floating_point()}
        for key, dtype in floats.items():  # as integers of the same bits no cast of floats sees them
            self._buffers[key] = self._buffers[key].view(_BITS[dtype])  # type: ignore[union-attr]
        try:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        finally:
            for key, dtype in floats.items():
                self._buffers[key] = self._buffers[key].view(dtype)  # type: ignore[union-attr]
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Any, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """torch's, but a layer is taken whole or not at all: another dtype and what is no step are errors as
        well."""
        own = {prefix + key: value for key, value in self._buffers.items() if value is not None}
        missing = [key for key in own if key not in state_dict]
        given = {key: state_dict[key] for key in own if key in state_dict}
        wrong = [f"{key}: {value.dtype}{list(value.shape)}, expected {own[key].dtype}{list(own[key].shape)}"
                 for key, value in given.items() if (value.dtype, value.shape) != (own[key].dtype, own[key].shape)]
        if not wrong:
            for key, least in (("steps", MIN_SCALE), ("scale", 0.0)):
                value = given.get(prefix + key)
                if value is not None and not ((value >= least) & (value <= MAX_SCALE) & (value > 0)).all():
                    wrong.append(f"{prefix}{key}: what is no step, expected 2^-100…2^100")
        if missing or wrong:
            missing_keys += missing
            error_msgs += wrong
            return
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)
        self._derive()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """float[…, S, K] to float[…, S, N]; raises LayerError for no tokens, no floats, NaN or infinite values."""
        if not x.is_floating_point() or not x.numel() or x.shape[-1] != self.in_features:
            raise LayerError("not the layer's input", where=f"layer {self.name}", got=f"{x.dtype}{list(x.shape)}",
                             expected=f"floats […, S, {self.in_features}], S ≥ 1")
        if x.dim() == 1:
            return self.forward(x[None])[0]
        rows = x.reshape(-1, 1, x.shape[-1]) if self.single else x.reshape(-1, *x.shape[-2:])
        found = [self._sequence(sequence) for sequence in rows.float()]
        y = found[0] if len(found) == 1 else torch.stack(found)
        return y.reshape(*x.shape[:-1], self.out_features).to(x.dtype)

    def extra_repr(self) -> str:
        """Shape and job, for `print(model)`."""
        job = self.config.job
        return f"{self.in_features} → {self.out_features}, levels {job.levels}, n_hi {job.n_hi}, W{job.weight_bits}"

    def _mixed(self, x: Tensor) -> Tensor:
        """float[…, K] as the weights want it: h of float[…, K'], or x itself."""
        return x if self._block is None else hadamard.sums(x, self._block)

    def job(self, tokens: int, n_sink: int = 0) -> ResolvedJob:
        """The job of a sequence of so many tokens with so many outliers. Raises ConfigError beyond the hardware.

        A single token (decode) has no neighbour to be lifted with, and 8 bits if `n_hi` is "auto".
        """
        if self.config.hadamard != self._block:
            raise ConfigError("not what the weights are folded for", where=f"layer {self.name}, hw.hadamard",
                              got=str(self.config.hadamard), expected=str(self._block))
        if tokens == 1:
            return self.config.with_job(levels=0).resolve(1, n_sink=n_sink, k=self.in_features)
        return self.config.resolve(tokens, self.grid, n_sink=n_sink, k=self.in_features, transform=self.transform)

    def outliers_of(self, x: Tensor) -> tuple[int, ...]:
        """The outliers of float32[S, K]: those of the job, of the layer, or found. Positions are those of a prefill: a
        single token has none but what `threshold` says."""
        known = self.outliers
        looks = self.grid is None and self.transform and (len(x) > 1 or self.threshold is not None)
        if known == "auto" and self.config.job.outliers == "auto" and looks:
            absmax = _absmax(x).double().cpu().numpy()
            return outliers.find(absmax, outliers.threshold(absmax) if self.threshold is None else self.threshold)
        if isinstance(known, str) or len(x) == 1:
            known = ()
        if known and known[-1] >= len(x):
            raise LayerError("outliers are no tokens", where=f"layer {self.name}", got=brief(known),
                             expected=f"positions in 0…{len(x) - 1}")
        return known if len(x) == 1 else self.config.job.outliers_of(known, len(x))

    def run(self, x: Tensor) -> tuple[engine.Datapath, float]:
        """Every stage for float32[S, K] (rotated and centered already), in the order of the wire, and the real value of
        an output step."""
        taken = self.outliers_of(x)
        x, job, constants = self._job_of(x, taken, self._places(len(x), taken))
        return engine.datapath(x, constants, job, self.config), constants.s_y

    def _job_of(self, x: Tensor, taken: tuple[int, ...], places: outliers.Places | None
                ) -> tuple[Tensor, ResolvedJob, engine.Constants]:
        """x in the order of the wire, its job, and the constants at its scales."""
        job = self.job(len(x), len(taken))
        if places is not None:
            x = x.index_select(0, torch.from_numpy(places.order.copy()).to(x.device))
        return x, job, self._static(x.device) if self.s_x is not None else self._own(x, job)

    def _places(self, tokens: int, taken: tuple[int, ...]) -> outliers.Places | None:
        """Where the tokens go, shuffled or not; None where all are in place."""
        if not taken and self.shuffled is None:
            return None
        places = outliers.places(tokens, taken)
        if self.shuffled is None:
            return places
        moved = shuffle.permutation(self.name, tokens, taken, self.shuffled)
        return outliers.Places(moved[places.order], places.rows[np.argsort(moved)])

    def _sequence(self, x: Tensor) -> Tensor:
        """float32[S, K] to float32[S, N]."""
        if self.rotation is not None:
            x = x @ self.rotation.to(x.device) if self.last is None else self.last.of(x, self.rotation)
        if self.center is not None:
            x = x - self.center.to(x.device)
        if not torch.isfinite(_absmax(x)).all():  # of NaN it is NaN
            raise LayerError("x holds NaN or infinite values", where=f"layer {self.name}", expected="finite values")
        if not self.activations:
            return self._float(x)
        taken = self.outliers_of(x)
        places = self._places(len(x), taken)
        wire, job, constants = self._job_of(x, taken, places)
        done = engine.outputs(wire, constants, job, self.config)
        if places is not None:
            own = torch.from_numpy(places.rows.copy()).to(x.device)
            done = engine.Outputs(*(part.index_select(0, own) for part in done))
        counts: list[int | Tensor] = [count.sum() for count in done[1:]]
        if x.device.type == "cpu":  # elsewhere numbers would wait for the device
            counts = [int(count) for count in counts]
        self.x_saturated += counts[0]
        self.h_saturated += counts[1]
        self.y_saturated += counts[2]
        self.values += x.numel()
        self.bits += job.average_bits * x.numel()
        self.scale_bits += scale_bits(self.config, job, self.in_features) * len(x)
        if len(x) > 1:  # of a token by itself nobody knows the position
            self.found.update(taken)
        return done.y.float().mul_(constants.s_y)

    def prepare(self) -> None:
        """Make the constants of static scales now: many layers' made one by one, between the tensors of a run, would
        hold the memory that the run frees."""
        if self.s_x is not None:
            self._static(self.wgt.device)

    def _static(self, device: torch.device) -> engine.Constants:
        key = device, self.config
        if key not in self._constants:
            assert self.s_x is not None and self.s_y is not None
            s_x = self.s_x * 2.0 ** (INT16_WIDTH - self.config.hw.in_width)
            self._constants[key] = self._scaled(s_x, self.s_y, device, self._rotation(s_x))
        return self._constants[key]

    def _own(self, x: Tensor, job: ResolvedJob) -> engine.Constants:
        """Scales of this very sequence: absmax over the largest code."""
        top_in, top_out = (1 << (self.config.hw.in_width - 1)) - 1, (1 << (OUT_WIDTH - 1)) - 1
        s_x = float(x[job.n_sink :].abs().max()) / top_in or 1.0
        s_y = max(float(part.abs().max()) for part in self._float_parts(x)) / top_out or 1.0
        if not all(MIN_SCALE <= s <= MAX_SCALE for s in (s_x, s_y)):
            raise LayerError("scale is out of range", where=f"layer {self.name}", got=f"s_x {s_x:.3g}, s_y {s_y:.3g}",
                             expected="2^-100…2^100")
        return self._scaled(s_x, s_y, x.device, self._rotation(s_x, x[job.n_sink :]))

    def _rotation(self, s_x: float, x: Tensor | None = None) -> Rotation | None:
        """What the Hadamard unit does, as `stamp_hw.engine.linear.rotation_of`: for static scales, or for a sequence
        float32[S, K] without its outliers."""
        block, wanted, width = self._block, self.config.job.hadamard, self.config.hw.in_width
        if block is None:
            return None
        if isinstance(wanted, int):
            return Rotation(block, wanted)
        if x is None:
            return Rotation(block, reference.usual_shift(block))
        return Rotation(block, hadamard.least_shift(engine.quantize_input(x, s_x, 0, width)[0], block, width))

    def _float(self, x: Tensor) -> Tensor:
        """float32[S, N]: the product of float activations and the integers' weights, bias added."""
        y = torch.empty((len(x), self.out_features), dtype=torch.float32, device=x.device)
        start = 0
        for part in self._float_parts(x):
            y[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return y

    def _float_parts(self, x: Tensor) -> Iterator[Tensor]:
        """The same, some output channels at a time: the weights as floats are never there as a whole."""
        x = self._mixed(x)
        for start in range(0, self.out_features, engine.CHANNELS):
            part = slice(start, start + engine.CHANNELS)
            weight = self.wgt[part].to(x.device) * self.scale[part].float().to(x.device)[:, None]
            with mac.exact_products():
                yield torch.nn.functional.linear(
                    x, weight, None if self._bias is None else torch.from_numpy(self._bias[part]).to(x.device))

    def _sums_of(self, group: int) -> np.ndarray:
        """`Weights.sums`, kept."""
        if group not in self._sums:
            self._sums[group] = self._weights.sums(group)
        return self._sums[group]

    def _scaled(self, s_x: float, s_y: float, device: torch.device, rotation: Rotation | None) -> engine.Constants:
        try:
            mant, shift = rescale.factors(coefficient_step(s_x, rotation), self._weights.scale, s_y, self.config)
            bias = rescale.integer_bias(self._bias, s_y, self.out_features)
        except LayerError as error:
            raise LayerError(error.what, where=f"layer {self.name}, {error.where}", got=error.got,
                             expected=error.expected) from error
        channels = self.wgt.shape[1]
        group = min(self.config.job.group or channels, channels)
        return engine.Constants(
            wgt=self.wgt.to(device), wsum=torch.from_numpy(self._sums_of(group)).to(device),
            largest=self._largest, mant=torch.from_numpy(mant).to(device), shift=torch.from_numpy(shift).to(device),
            bias=torch.from_numpy(bias).to(device), s_x=s_x, s_y=s_y,
            rotation=rotation)


def _absmax(x: Tensor) -> Tensor:
    """float32[S], largest magnitude of each token; on a CPU much faster than its least and largest value."""
    return x.abs().amax(dim=1)
