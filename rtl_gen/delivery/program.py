"""What software needs to run the layers of a trace: job registers and beats of each stream, as JSON and as C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any

from rtl_gen.axi import stream_bytes as axi_bytes
from rtl_gen.axi.registers import JOB_PREFIX, job_register, registers
from rtl_gen.delivery.handover_registers import HEADER
from rtl_gen.delivery.prefix import PREFIX, renamed
from stamp_hw.config import NpuConfig
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import LinearResult
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size
from stamp_hw.engine.wire import OUT_BYTES, WeightFormat, beat_bytes
from stamp_hw.layer import Layer

LAYERS_TEMPLATE = Path(__file__).parent / "templates" / "stamp_layers.h"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProgram:
    """One layer: `shape` in numbers, `registers` by their names in the map, `streams` AXI name → `beats`, `bytes` of
    TDATA (those without TKEEP not counted), `packets` that TLAST ends (None where there is no TLAST) and the `file` of
    the bytes (None where none was asked for); `sink_shift` is TUSER of each outlier, None without files."""

    name: str
    shape: Mapping[str, Any]
    registers: Mapping[str, int]
    streams: Mapping[str, Mapping[str, int | str | None]]
    warnings: tuple[str, ...]
    sink_shift: tuple[int, ...] | None = None


def layer_program(name: str, config: NpuConfig, *, tokens: int, k: int, n: int, grid: tuple[int, int] | None,
                  outliers: tuple[int, ...], transform: bool = True, size: Size | None = None) -> LayerProgram:
    """Registers and beats of a layer of `tokens` tokens of `k` input and `n` output channels, which has `outliers`
    where the job does not say another thing; without `transform` its levels are 0; `size` of its super-tiles, None for
    the largest that fit.

    Raises ConfigError for a job beyond the hardware.
    """
    params = EngineParams.of(config.hw)
    outliers = config.job.outliers_of(outliers, tokens)
    travelling = len(outliers) + tokens
    resolved = config.resolve(tokens, grid, n_sink=len(outliers), k=k, transform=transform)
    job = EngineJob.of(resolved, k=k, n=n, params=params, limit=size, symmetric=config.job.symmetric,
                       group=config.job.group, weights=WeightFormat.of(config.hw, config.job))
    parts = -(-job.width // job.tile_width) * -(-job.height // job.tile_height)
    passes = parts * job.columns
    out_beats = (job.columns - 1) * params.chunks + job.out_beats
    beat = beat_bytes(params)
    streams: dict[str, dict[str, int | str | None]] = {
        "s_axis_act": _stream(travelling * job.in_beats, beat["i"], travelling),
        "s_axis_wgt": _stream(passes * job.weights.beats(k), beat["w"], None),
        "s_axis_par": _stream(passes * params.cols, beat["p"], None),
        "m_axis_out": {**_stream(travelling * out_beats, 0, 1), "bytes": travelling * n * OUT_BYTES},
    }
    shape = {"tokens": tokens, "outliers": list(outliers), "grid": None if grid is None else list(grid), "k": k, "n": n,
             "levels": resolved.levels, "n_hi": resolved.n_hi, "super_tiles": parts, "column_tiles": job.columns}
    return LayerProgram(name=name, shape=shape, streams=streams,
                        warnings=tuple(text for _, _, text in resolved.warnings),
                        registers={job_register(field): value for field, value in job.registers(params).items()})


def _stream(beats: int, beat_bytes: int, packets: int | None) -> dict[str, int | str | None]:
    return {"beats": beats, "bytes": beats * beat_bytes, "packets": packets, "file": None}


def with_data(made: LayerProgram, layer: Layer, config: NpuConfig, result: LinearResult, number: int,
              size: Size | None = None) -> tuple[LayerProgram, dict[str, bytes]]:
    """The program of a layer with the files of its streams, and file name → bytes: inputs, and the results of the
    golden model, `result`. `number` makes the names, `size` as in `layer_program`."""
    params = EngineParams.of(config.hw)
    beats = engine_streams.streams(layer, config, result, size)
    data = {"s_axis_act": axi_bytes.activations(params, beats["i"]),
            "s_axis_wgt": axi_bytes.weights(params, beats["w"]), "s_axis_par": axi_bytes.parameters(beats["p"]),
            "m_axis_out": axi_bytes.results(beats["o"])}
    names = {stream: f"layer{number:03d}_{stream.split('_')[-1]}.bin" for stream in data}
    streams = {stream: {**entry, "file": names[stream]} for stream, entry in made.streams.items()}
    shifts = tuple(axi_bytes.sink_shifts(beats["i"])[: len(made.shape["outliers"])])
    return replace(made, streams=streams, sink_shift=shifts), {names[stream]: data[stream] for stream in data}


def document(layers: Sequence[LayerProgram], refused: Sequence[Mapping[str, str]], config: NpuConfig, *,
             trace_sha256: str, version: str, memory: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `stamp-hw program` writes as JSON; `memory` says where things are in that of a chain."""
    offsets = {register.name: register.offset for register in registers(EngineParams.of(config.hw))
               if register.name.startswith(JOB_PREFIX)}
    return {
        "schema_version": 2, "generator": f"stamp-hw {version}", "trace_sha256": trace_sha256, **config.to_dict(),
        "offsets": offsets,
        "layers": [{"name": layer.name, "shape": dict(layer.shape),
                    "registers": {name: layer.registers[name] for name in offsets},
                    "streams": layer.streams, "sink_shift": layer.sink_shift, "warnings": list(layer.warnings)}
                   for layer in layers],
        "refused": list(refused),
        **({} if memory is None else {"memory": memory}),
    }


def c_layers(layers: Sequence[LayerProgram], config: NpuConfig, prefix: str = PREFIX) -> str:
    """Text of a C header: an array of layers. It compiles with the stamp_engine.h of the same hardware only, and of the
    same `prefix`; names of layers, which come from a trace, keep theirs."""
    rows = []
    for layer in layers:
        values = ", ".join(f".{name.removeprefix(JOB_PREFIX).lower()} = {value}u"
                           for name, value in layer.registers.items())
        beats = ", ".join(f".{stream.split('_')[-1]}_beats = {layer.streams[stream]['beats']}u"
                          for stream in layer.streams)
        rows.append(f'  {{.name = "{c_string(layer.name)}",\n   .job = {{{values}}},\n   {beats}}},')
    other = " || ".join(f"STAMP_ENGINE_{register.name}_VALUE != 0x{register.reset:X}u"
                        for register in registers(EngineParams.of(config.hw)) if register.fields[0].access == "const")
    return Template(renamed(LAYERS_TEMPLATE.read_text(encoding="utf-8"), prefix)).substitute(
        header=renamed(HEADER, prefix), count=len(layers), rows="\n".join(rows), other=renamed(other, prefix))


def c_string(text: str) -> str:
    """Text between the quotes of a C string: everything but letters, digits and a few marks as octal bytes."""
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 or chr(byte) in " ._-/:" else f"\\{byte:03o}"
                   for byte in text.encode("utf-8", "surrogatepass"))
