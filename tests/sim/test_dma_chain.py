"""Chains through the DMA in the cycle model (sim/dma), and `stamp-hw chain`. The RTL's own cycles are compared in
tb/dma/cycles.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.dma import sources
from sim.dma.chain import FETCH, INTERRUPT, chain
from sim.dma.layer import follow
from sim.dma.memory import MemoryLaw
from sim.dma.shapes import Linear, lay_out
from sim.engine.timing import timing
from sim.port import TICKS
from sim.task import Shape
from sim.workload import find
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.job import EngineJob
from stamp_hw.errors import StampError
from stamp_hw.formats.trace import Trace
from tb.dma import cases
from tb.dma.cycles import draw_law
from tb.dma.draws import draw_params

LLAMA = "models/traces/llama_small.safetensors"


def test_registers_make_the_job_that_made_them(rng: np.random.Generator) -> None:
    for _ in range(20):
        params = draw_params(rng)
        for layer in cases.chain(params, rng, 1)[0]:
            registers = layer.chained.registers
            job = EngineJob.of_registers(registers)
            assert job.registers(params.engine) == registers
            assert job.resolved.tokens == registers["width"] * registers.get("height", 1)


def test_layers_of_a_chain_take_what_each_takes_alone_wherever_it_lies(rng: np.random.Generator) -> None:
    for _ in range(15):
        params, law = draw_params(rng), draw_law(rng)
        drawn, image = cases.chain(params, rng, 3)
        layers = [*image.layers, image.layers[0]]  # one of them twice
        tables = [one.chained.table for one in drawn] + [drawn[0].chained.table]
        found = chain(params, image.base, layers, tables, law)
        start = FETCH
        for number, (layer, table) in enumerate(zip(layers, tables, strict=True)):
            alone = follow(params, layer, image.base + BYTES * number, table, law)
            one = found.layers[number]
            assert (one.cycles, one.job, one.last, one.reads, one.writes, one.waits) == (
                alone.cycles, alone.job, alone.last, alone.reads, alone.writes, alone.waits)
            assert found.starts[number] == start
            start += alone.cycles
        assert found.interrupt == start - 1 + INTERRUPT


def test_words_on_the_bus_are_those_of_the_walk(rng: np.random.Generator) -> None:
    for _ in range(15):
        params, law = draw_params(rng), draw_law(rng)
        drawn, image = cases.chain(params, rng, 1)
        layer, table = image.layers[0], drawn[0].chained.table
        found = follow(params, layer, image.base, table, law)
        segments = {"chain": [(image.base, BYTES)], **walk.reads(layer, table)}
        assert found.words_read == {name: sum(words for _, words in walk.bursts(parts, params))
                                    for name, parts in segments.items()}
        kept = [(write.address, write.size) for write in walk.writes(layer, table, params) if write.kept]
        assert [words for _, words in found.writes] == [words for _, words in walk.bursts(kept, params)]
        assert found.words_written == sum(words for _, words in found.writes)


def test_no_layer_is_faster_than_the_engine_alone(rng: np.random.Generator) -> None:
    for _ in range(10):
        params = draw_params(rng)
        drawn, image = cases.chain(params, rng, 1)
        job = EngineJob.of_registers(drawn[0].chained.registers)
        found = follow(params, image.layers[0], image.base, drawn[0].chained.table, draw_law(rng))
        assert found.last - found.job >= timing(params.engine, [job]).cycles - 1


def test_shapes_alone_lie_where_the_image_of_their_layers_does(rng: np.random.Generator) -> None:
    for _ in range(15):
        params = draw_params(rng)
        drawn = [cases.draw(params, rng) for _ in range(3)]
        image = cases.image_of(params, drawn, 0)
        layers = []
        for one in drawn:
            outliers = tuple(one.config.job.outliers_of(one.layer.outliers, len(one.layer.x)))
            layers.append(Linear(shape=Shape.of(one.layer, one.config), config=one.config, outliers=outliers))
        found, tables = lay_out(layers, params)
        for number, (layer, wanted) in enumerate(zip(found, image.layers, strict=True)):
            registers = {**wanted.registers, **({"hadamard_shift": 0} if params.engine.hadamard else {})}  # of the data
            assert layer == replace(wanted, registers=registers)
            places, other = tables[number], drawn[number].chained.table
            exponents = np.uint32(0xF << 16)
            assert np.array_equal(places & ~exponents, other & ~exponents)  # which are the data's as well


def test_lengths_that_do_not_fit_the_job_have_no_end(rng: np.random.Generator) -> None:
    params = draw_params(rng)
    drawn, image = cases.chain(params, rng, 1)
    layer = image.layers[0]
    short = replace(layer, par_bytes=layer.par_bytes - 16)
    with pytest.raises(StampError, match="a layer without an end"):
        follow(params, short, image.base, drawn[0].chained.table, draw_law(rng))


def test_a_model_is_a_chain_of_all_its_linear_layers_block_by_block() -> None:
    config = NpuConfig().with_hw(bus_width=128)
    layers = sources.of_workload(find.workload("smollm2", find.Ask(prefill=64)), config)
    names = [layer.shape.name for layer in layers]
    block = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert names == block * 30 + ["lm_head"] and len(names) == 211
    assert {layer.shape.tokens for layer in layers[:-1]} == {64} and layers[-1].shape.tokens == 1
    found, tables = lay_out(layers, DmaParams.of(config.hw))
    alike = {(one.act_bytes, one.wgt_bytes, one.out_stride) for one in found}
    assert len(alike) == 5 and len(tables) == 211


def test_a_trace_goes_through_with_the_outliers_of_its_layers() -> None:
    config = NpuConfig().with_hw(bus_width=64)
    with Trace.open(Path(LLAMA)) as trace:
        name = trace.layer_names[0]
        (layer,) = sources.of_trace(trace, config, [name])
        assert layer.shape == Shape.of(trace.layer(name), layer.config)
        assert len(layer.outliers) == layer.shape.n_sink


def test_the_report_has_the_cycles_and_bytes_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--hw", "bus_width=256", "--hw", "rows=2", "--hw", "cols=4", "--hw", "rescale_lanes=2"]
    path = tmp_path / "chain.json"
    assert main(["chain", "--shape", "20x24x10", "--shape", "8x40x12", *words, "--json", str(path)]) == 0
    report = json.loads(path.read_text("utf-8"))
    config = NpuConfig().with_hw(bus_width=256, rows=2, cols=4, rescale_lanes=2)
    params = DmaParams.of(config.hw)
    layers = sources.of_shapes([Shape(name="a", tokens=20, k=24, n=10), Shape(name="b", tokens=8, k=40, n=12)], config)
    found, tables = lay_out(layers, params)
    model = chain(params, 0, found, tables, MemoryLaw(**report["memory"]))
    assert report["total"]["cycles"] == model.interrupt
    assert [row["cycles"] for row in report["layers"]] == [layer.cycles for layer in model.layers]
    jobs = [EngineJob.of_registers(layer.registers) for layer in found]
    assert [row["engine_cycles"] for row in report["layers"]] == [
        timing(params.engine, [job]).cycles for job in jobs]
    for row, layer in zip(report["layers"], model.layers, strict=True):
        assert row["bytes_read"] == {name: 32 * count for name, count in layer.words_read.items()}
        assert row["bytes_written"] == 32 * layer.words_written
    out = capsys.readouterr().out
    assert f"2 layers: {model.interrupt:,} cycles" in out and "20x24x10" in out


@pytest.mark.parametrize(("words", "said"), [
    (["--shape", "8x8x8"], "no DMA in this hardware"),
    (["--shape", "8x8x8", "--hw", "bus_width=128", "--layers", "q"], "--layers: option of another source"),
    (["--shape", "8x8x8", "--hw", "bus_width=128", "--prefill", "3"], "--prefill: option of another source"),
    (["--model", "llama-3-8b", "--hw", "bus_width=128", "--hw", "max_k=16384"], "chain of too many cycles"),
    (["--model", "nothing", "--hw", "bus_width=128"], "no such model"),
    (["--shape", "8x9000x8", "--hw", "bus_width=128"], "job.k"),
])
def test_what_cannot_run_is_refused_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]
                                                ) -> None:
    assert main(["chain", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1


def test_a_memory_that_answers_writes_one_by_one_and_late_is_no_layer_without_an_end(rng: np.random.Generator) -> None:
    params = draw_params(rng)
    drawn, image = cases.chain(params, rng, 2)
    law = MemoryLaw(response=300 * TICKS, write_bursts=1)
    tables = [one.chained.table for one in drawn]
    found = chain(params, image.base, image.layers, tables, law)
    for layer in found.layers:
        assert layer.cycles - layer.job > 300 * len(layer.writes)
