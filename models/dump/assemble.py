"""From finished parts and a loaded model to the trace: headers are held in memory, tensors are copied one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.dump.capture import ABSMAX, INPUT, digest_of
from models.dump.parts import Parts, Seen, Summary
from models.dump.ranges import Ranges, largest, outliers_of_run, threshold_of
from models.load.kinds import Found
from models.load.tensors import coded, dtype_of, raw
from stamp_hw.errors import TraceError
from stamp_hw.formats.safetensors_file import DTYPES, TensorEntry
from stamp_hw.formats.trace import static_scale, write_whole
from stamp_hw.formats.trace_entry import LayerEntry
from stamp_hw.positions import Which

_SIZES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class _Copy:
    """A tensor of a part."""

    part: str
    name: str
    digest: str


def assemble(out: str | os.PathLike[str], parts: Parts, layers: Sequence[Found], metadata: Mapping[str, Any], *,
             captures: Mapping[str, str], measured: Sequence[str], outliers: Which = "off") -> None:
    """Write the trace of the captured parts.

    Parameters
    ----------
    captures : part → what its layers' names end in, in the order of the trace
    measured : parts whose largest magnitudes give the static scales; none for `calibration: self`
    metadata : as for `TraceWriter`, with `calibration`
    outliers : tokens of a sequence that are kept out of the transform; they take no part in s_x

    An input that layers share, in one part or in several, is stored once, and so are a layer's weights. Raises
    TraceError and OutputError as `TraceWriter` does, and for a part that is damaged or lacks a layer.
    """
    summaries = {name: _summary(parts, name) for name in {*captures, *measured}}
    looks = {name: _absmax(parts, name) for name in summaries}
    seen_in = [(summaries[name], looks[name]) for name in measured or captures]
    ranges = {layer.name: _ranges(layer.name, seen_in, outliers) for layer in layers}
    tensors: dict[str, TensorEntry] = {}
    sources: dict[str, _Copy | Any] = {}
    entries: list[LayerEntry] = []
    kept: dict[str, str] = {}  # digest → tensor of the trace

    def place(name: str, dtype: str, shape: tuple[int, ...], source: Any) -> None:
        size = _SIZES[dtype]
        for side in shape:
            size *= side
        begin = next(reversed(tensors.values())).end if tensors else 0
        tensors[name] = TensorEntry(code=DTYPES[dtype], shape=shape, begin=begin, end=begin + size)
        sources[name] = source

    for part, suffix in captures.items():
        with parts.reader(part) as (file, summary):
            for name, digest in summary.digests.items():
                if name.startswith(INPUT) and digest not in kept:
                    kept[digest] = f"{name}{suffix}"
                    place(kept[digest], file.tensors[name].dtype, file.tensors[name].shape, _Copy(part, name, digest))
    for layer in layers:
        place(f"weight.{layer.name}", dtype_of(layer.weight), tuple(layer.weight.shape), layer.weight)
        if layer.bias is not None:
            place(f"bias.{layer.name}", dtype_of(layer.bias), tuple(layer.bias.shape), layer.bias)
    for part, suffix in captures.items():
        summary = summaries[part]
        for layer in layers:
            seen = _seen(summary, layer.name)
            if seen.input is None:
                raise TraceError("part is damaged", where=f"{part}, layer {layer.name}", expected="an input")
            own = ranges[layer.name]
            look = looks[part].get(layer.name)
            entries.append(LayerEntry(
                name=f"{layer.name}{suffix}", kind=layer.kind, input=kept[summary.digests[seen.input]],
                weight=f"weight.{layer.name}", bias=None if layer.bias is None else f"bias.{layer.name}",
                grid=summary.grid if seen.transform else None,
                outliers=() if look is None else outliers_of_run(look[-1], outliers, own.threshold),
                s_x=static_scale(own.x) if measured else None, s_y=static_scale(own.y) if measured else None,
                transform=seen.transform, threshold=own.threshold))
    write_whole(out, metadata, entries, tensors, _data(parts, sources))


def _data(parts: Parts, sources: Mapping[str, Any]) -> Iterator[bytearray | memoryview]:
    """Bytes of all tensors, one in memory at a time; those of the parts are held against their digests."""
    for name, source in sources.items():
        if not isinstance(source, _Copy):
            yield raw(coded(source, f"tensor {name}"))
            continue
        with parts.reader(source.part) as (file, _):
            entry = file.tensors[source.name]
            copied = digest_of(entry.dtype, entry.shape)
            for chunk in file.chunks(source.name):
                copied.update(chunk)
                yield chunk
            if copied.hexdigest() != source.digest:
                raise TraceError("part is damaged", where=f"{file.path}, tensor {source.name}",
                                 expected="the bytes that were captured, or the folder removed")


def _summary(parts: Parts, name: str) -> Summary:
    with parts.reader(name) as (_, summary):
        return summary


def _seen(summary: Summary, layer: str) -> Seen:
    if layer not in summary.layers:
        raise TraceError("layer was not run", where=f"layer {layer}",
                         expected="layers that the model uses, see --layers")
    return summary.layers[layer]


def _absmax(parts: Parts, name: str) -> dict[str, np.ndarray]:
    """Layer → absmax of each token, float32[sequences, S], of the layers over a sequence."""
    with parts.reader(name) as (file, _):
        return {tensor.removeprefix(ABSMAX): file.read(tensor) for tensor in file.tensors if tensor.startswith(ABSMAX)}


def _ranges(layer: str, runs: Sequence[tuple[Summary, Mapping[str, np.ndarray]]], outliers: Which) -> Ranges:
    """Of everything that these runs showed."""
    seen = [_seen(summary, layer) for summary, _ in runs]
    y = max(one.y for one in seen)
    rows = [row for _, look in runs for row in look.get(layer, ())]
    if not rows:
        return Ranges(max(one.x for one in seen), y)
    threshold = threshold_of(rows, outliers)
    return Ranges(largest(rows, outliers, threshold), y, threshold)
