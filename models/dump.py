"""Captures the input of every linear layer of a causal language model, by forward hooks, into a trace."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from stamp_hw.errors import TraceError
from stamp_hw.trace import TraceWriter, static_scale


@dataclass(slots=True)
class _Range:
    """Largest magnitudes that a layer's input (sinks excluded) and output have shown."""

    x: float = 0.0
    y: float = 0.0


def linear_layers(model: Any, pattern: str = "") -> dict[str, Any]:
    """Name → ``torch.nn.Linear`` in model order, those whose name `pattern` is found in.

    Raises TraceError for a pattern that is no regular expression or that no layer matches.
    """
    import torch

    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise TraceError("not a regular expression", where="--layers", got=f"{pattern} ({error})") from error
    found = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    chosen = {name: module for name, module in found.items() if wanted.search(name)}
    if not chosen:
        raise TraceError("no linear layer matches", where="--layers", got=pattern,
                         expected=f"a pattern found in a name such as {next(iter(found), '(the model has none)')}")
    return chosen


def dump(model: Any, captured: np.ndarray, calibration: np.ndarray | None, out: Any, metadata: Mapping[str, Any], *,
         layers: str = "", n_sink: int = 0, progress: Callable[[str], None] = lambda line: None) -> None:
    """Run `captured` through the model and write a trace of the chosen layers as it runs.

    Parameters
    ----------
    model : a causal language model in evaluation mode; tensors are stored in its own dtype
    captured : int64[S], the sequence whose activations are stored
    calibration : int64[N, S], the sequences whose absmax gives the static scales, or None for `calibration: self`
    out, metadata : as for `TraceWriter`; calibration and versions are added
    layers : regular expression that a layer's name must contain
    n_sink : leading tokens of the trace that bypass the transform; they take no part in s_x
    progress : called with a line of text at every step

    Raises TraceError and OutputError as `TraceWriter` does.
    """
    import torch

    chosen = linear_layers(model, layers)
    if not 0 <= n_sink < len(captured):
        raise TraceError("n_sink out of range", where="--sinks", got=n_sink, expected=f"0…{len(captured) - 1}")
    dtypes = {str(module.weight.dtype).removeprefix("torch.") for module in chosen.values()}
    if len(dtypes) != 1:
        raise TraceError("layers differ in dtype", got=", ".join(sorted(dtypes)), expected="one dtype")
    dtype = dtypes.pop()
    count = 0 if calibration is None else len(calibration)
    described = {**metadata, "dtype": dtype, "versions": {n: version(n) for n in ("numpy", "torch", "transformers")},
                 "calibration": f"static: {count} sequence{'s' * (count > 1)}" if count else "self"}
    with TraceWriter(out, described) as writer, torch.no_grad():
        ranges = {name: _Range() for name in chosen}
        for number in range(count):
            assert calibration is not None
            progress(f"calibrating {number + 1}/{count}")
            _run(model, chosen, calibration[number], _measure(ranges, n_sink))
        keys: dict[str, str] = {}
        progress("capturing")
        _run(model, chosen, captured, _capture(writer, keys, dtype, len(chosen), progress))
        for number, (name, module) in enumerate(chosen.items()):
            if name not in keys:
                raise TraceError("layer was not run", where=f"layer {name}", expected="a layer that the model uses")
            progress(f"writing weights {number + 1}/{len(chosen)}")
            bias = getattr(module, "bias", None)
            writer.add_layer(name=name, kind=name.rpartition(".")[2], input_key=keys[name],
                             weight=_array(module.weight), bias=None if bias is None else _array(bias),
                             n_sink=n_sink, dtype=dtype,
                             s_x=static_scale(ranges[name].x) if count else None,
                             s_y=static_scale(ranges[name].y) if count else None)


_Hook = Callable[[str, Any, Any], None]


def _run(model: Any, chosen: Mapping[str, Any], tokens: np.ndarray, hook: _Hook) -> None:
    """One forward pass; `hook(name, x, y)` sees every chosen layer's input and output, tokens × channels."""
    import torch

    def attach(name: str, module: Any) -> Any:
        return module.register_forward_hook(lambda _, args, y: hook(name, args[0][0], y[0]))

    handles = [attach(name, module) for name, module in chosen.items()]
    try:
        model(input_ids=torch.from_numpy(tokens)[None].to(model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()


def _measure(ranges: Mapping[str, _Range], n_sink: int) -> _Hook:
    def hook(name: str, x: Any, y: Any) -> None:
        seen = ranges[name]
        x_max, y_max = float(x[n_sink:].abs().max()), float(y.abs().max())
        if not (math.isfinite(x_max) and math.isfinite(y_max)):
            raise TraceError("calibration meets NaN or infinite activations", where=f"layer {name}",
                             expected="finite values")
        seen.x, seen.y = max(seen.x, x_max), max(seen.y, y_max)

    return hook


def _capture(writer: TraceWriter, keys: dict[str, str], dtype: str, total: int,
             progress: Callable[[str], None]) -> _Hook:
    """Layers that read the same values one after the other (q, k, v; gate, up) share one stored input."""
    last: list[tuple[str, Any]] = []

    def hook(name: str, x: Any, y: Any) -> None:
        import torch

        if name in keys:
            raise TraceError("layer runs more than once a pass", where=f"layer {name}", expected="one input a layer")
        if not (last and last[0][1].shape == x.shape and torch.equal(last[0][1], x)):
            writer.add_input(name, _array(x), dtype)
            last[:] = [(name, x.clone())]
        keys[name] = last[0][0]
        progress(f"capturing {len(keys)}/{total}")

    return hook


def _array(tensor: Any) -> np.ndarray:
    """float32 array of a tensor; exact for every narrower float."""
    import torch

    return tensor.detach().to(device="cpu", dtype=torch.float32).numpy()
