"""Integer weights and rotations that a user has made (GPTQ, FlatQuant, OstQuant, …), from a safetensors file.

Tensors, by layer; every layer is optional:

    NAME.codes     int8[N, K], in −2^(b−1)…2^(b−1) − 1 for b = weight_bits
    NAME.scale     float[N], real value of a step of each output channel
    NAME.q, NAME.u, NAME.z  in place of codes, in a job with weight_group G: weights u·(q − z), uint8[N, K], and
                   uint8[N, ceil(K / G)] twice, of legal pairs
    NAME.rotation  float[K, K], invertible: the layer reads x · rotation, and its codes are for that

In a job with a Hadamard unit codes are for its output, of folded weights, K in whole blocks (`stamp_hw.hadamard.fold`).
A rotation without codes is folded into the model's own weights, which are then rounded to the nearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.load.hub import first_line
from models.load.kinds import Found
from stamp_hw import hadamard
from stamp_hw.config import NpuConfig
from stamp_hw.errors import TraceError
from stamp_hw.ready_weights import check_job, ready, ready_groups
from stamp_hw.weights import Weights

PARTS = ("codes", "q", "u", "z", "scale", "rotation")
_WORST_CONDITION = 1e6  # of a rotation: beyond it, float32 does not undo it


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a file says of a layer: `weights`, and `rotation` float32[K, K]; either may be None."""

    weights: Weights | None
    rotation: np.ndarray | None


def load_given(path: Path, layers: Sequence[Found], config: NpuConfig) -> dict[str, Given]:
    """Layer → what `path` gives for it. Raises TraceError for whatever does not fit the layers or `config`'s jobs."""
    from safetensors import SafetensorError, safe_open

    known = {layer.name: layer for layer in layers}
    tensors: dict[str, dict[str, np.ndarray]] = {}
    try:
        with safe_open(path, "np") as file:
            for key in file.keys():  # noqa: SIM118
                name, _, part = key.rpartition(".")
                if part not in PARTS or name not in known:
                    raise TraceError("unknown tensor", where=str(path), got=key,
                                     expected=f"LAYER.{'|'.join(PARTS)} of a layer such as {next(iter(known))}")
                tensors.setdefault(name, {})[part] = file.get_tensor(key)
    except (OSError, SafetensorError, TypeError) as error:
        raise TraceError("cannot read weights", where=str(path), got=first_line(error),
                         expected="safetensors of integer codes and float scales") from error
    if not tensors:
        raise TraceError("no weights", where=str(path), expected=f"LAYER.{'|'.join(PARTS)}")
    return {name: _given(f"{path}, {name}", parts, known[name], config.for_kind(known[name].kind))
            for name, parts in tensors.items()}


def _given(where: str, parts: Mapping[str, np.ndarray], layer: Found, config: NpuConfig) -> Given:
    (outputs, channels), block, job = layer.weight.shape, config.hadamard, config.job
    rotation = parts.get("rotation")
    if rotation is not None:
        with np.errstate(over="ignore"):
            rotation = _checked(where, "rotation", rotation, (channels, channels), np.floating).astype(np.float32)
        if not np.isfinite(rotation).all() or not np.linalg.cond(rotation) < _WORST_CONDITION:
            raise TraceError("rotation cannot be undone", where=where, expected="an invertible matrix")
    group, own = job.weight_group, sorted(set(parts) - {"rotation"})
    wanted = ["codes", "scale"] if group is None else ["q", "scale", "u", "z"]
    if not own:
        return Given(None, rotation)
    if own != wanted:
        raise TraceError("incomplete weights", where=where, got=", ".join(own),
                         expected=f"{', '.join(wanted)} for weight_group {group}")
    folded = channels if block is None else hadamard.channels(channels, block)
    scale = _checked(where, "scale", parts["scale"], (outputs,), np.floating).astype(np.float64)
    if group is None:
        weights = ready(_checked(where, "codes", parts["codes"], (outputs, folded), np.int8), scale, where)
    else:
        q = _checked(where, "q", parts["q"], (outputs, folded), np.uint8)
        weights = ready_groups(q, parts["u"], parts["z"], group, scale, where)
    check_job(weights, job.weight_bits, group, where)
    return Given(weights, rotation)


def _checked(where: str, part: str, value: np.ndarray, shape: tuple[int, ...], kind: type) -> np.ndarray:
    if value.shape != shape or not np.issubdtype(value.dtype, kind):
        raise TraceError(f"{part} does not fit the layer", where=where, got=f"{value.dtype}{list(value.shape)}",
                         expected=f"{kind.__name__}{list(shape)}")
    return value
