"""Speed of the fast bench (tb/batch) on a 16 × 16 engine, against a naive testbench and against a loop without Python.

All run a layer on the same Verilog, in turn in one process, best of `ROUNDS`. The first three check the same: every
output beat, the cycle of every beat, the events' totals, the rules of a stream; the last one compares output beats:

- `naive`: the usual testbench under cocotb, a task a port, each writing and reading its port in every cycle;
- `slow`: `tb.bench.harness.Bench`, one task that writes what changes;
- `batched`: `BatchBench`;
- `raw`: tb/speed/raw.cpp, a program of its own that the test starts, without VPI, checking values alone.

All are compiled alike, with the optimization of a long run. Packing and predicting count as the bench's time. Seconds
are CPU time: each of them is one thread that waits for nothing, so on an idle machine they are the clock's, and a busy
one disturbs them little. `stamp-hw bench` calls `measure`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from rtl_gen import toolchain
from sim.engine.events import events
from sim.engine.timing import timing
from stamp_hw.config import JobConfig, NpuConfig
from stamp_hw.layer import Layer
from tb import tb_engine
from tb.batch import memory, program
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import Bench, Expect, Feed
from tb.engine.cases import Case
from tb.engine.play import INPUTS
from tb.run import simulator
from tb.run.block import elaborate

ROUNDS = 5
TOKENS, CHANNELS_IN, CHANNELS_OUT = 512, 512, 2048
SHARE = 5  # the job of `naive` and `slow` is so many times shorter: all rounds together are as long as the others' one
TOP = "stamp_engine"
PARAMETER_SETS = {"16x16": tb_engine.PARAMETER_SETS["16x16"]}
build = tb_engine.build
OUT, RAW = "STAMP_BENCH_OUT", "STAMP_BENCH_RAW"  # environment: file of the figures, program of `raw`


def workload(bench: Bench, channels_out: int) -> Case:
    """A random layer."""
    rng, hw = bench.rng, bench.params.hw
    layer = Layer("bench", rng.standard_normal((TOKENS, CHANNELS_IN), dtype=np.float32),
                  rng.standard_normal((channels_out, CHANNELS_IN), dtype=np.float32))
    return Case.of(layer, NpuConfig(hw=hw, job=JobConfig(calibration="self")))


async def naive(bench: BatchBench, case: Case) -> int:
    """A task a port, as testbenches are usually written: each writes and reads its port in every cycle, and checks
    there and then what the other benches check."""
    dut, predictions = bench.dut, predicted(bench, case)
    cycles_of, sampled = {name: cycles.tolist() for name, cycles in predictions["timing"].items()}, []

    async def drive(name: str, words: list[int]) -> None:
        valid, ready, payload = handles(bench, name)
        edge, sent, cycle = RisingEdge(dut.clk), 0, 0
        while True:
            offered = sent < len(words)
            valid.value, payload.value = int(offered), words[sent] if offered else 0
            await edge
            if ready.value and offered:
                assert cycle == cycles_of[name][sent], f"{name}, beat {sent}, cycle {cycle}"
                sent += 1
            cycle += 1

    async def watch() -> None:
        edge = RisingEdge(dut.clk)
        while True:
            await edge
            sampled.append(dut.events.value.to_unsigned())

    words = {name: bench.ports[name].layout.pack(fields) for name, fields in case.beats.items()}
    tasks = [cocotb.start_soon(drive(name, words[name])) for name in INPUTS]
    tasks.append(cocotb.start_soon(watch()))
    wanted, (valid, ready, payload) = words["o"], handles(bench, "o")
    edge, came, cycle, held = RisingEdge(dut.clk), 0, 0, None
    while came < len(wanted):
        ready.value = 1
        await edge
        offered, taken, got = bool(valid.value), bool(ready.value), payload.value.to_unsigned()
        assert held is None or (offered and got == held), f"beat {came} is not held in cycle {cycle}"
        if offered and taken:
            assert got == wanted[came], f"beat {came}"
            assert cycle == cycles_of["o"][came], f"beat {came}, cycle {cycle}"
            came += 1
        held = got if offered and not taken else None
        cycle += 1
    await edge  # whichever task this edge wakes first, `watch` has seen the last beat's events
    for task in tasks:
        task.cancel()
    totals = {name: int(counted.sum()) for name, counted in bench.ports["events"].layout.unpack(sampled).items()}
    assert totals == predictions["events"], f"events: {totals}, predicted {predictions['events']}"
    return cycle


def handles(bench: Bench, name: str) -> tuple[Any, Any, Any]:
    """`valid`, `ready` and `payload` of a stream."""
    valid, ready, payload = (getattr(bench.dut, f"{name}__{part}") for part in ("valid", "ready", "payload"))
    return valid, ready, payload


async def slow(bench: BatchBench, case: Case) -> int:
    """`tb.bench.harness.Bench`, which writes what changes and reads what it must."""
    run = await Bench.run(bench, feeds(case), {"o": Expect(case.beats["o"])}, **predicted(bench, case))
    return run.cycles


async def batched(bench: BatchBench, case: Case) -> int:
    """The fast bench."""
    run = await bench.run(feeds(case), {"o": Expect(case.beats["o"])}, **predicted(bench, case))
    return run.cycles


def feeds(case: Case) -> dict[str, Feed]:
    return {name: Feed(case.beats[name]) for name in INPUTS}


def predicted(bench: Bench, case: Case) -> dict[str, Any]:
    """The cycle of every beat, and the events' totals."""
    return {"timing": timing(bench.params, [case.job]).streams,
            "events": events(bench.params, [case.job], case.saturated)}


def raw(folder: Path) -> tuple[int, float]:
    """Cycles and seconds of the loop without Python; raises AssertionError when a beat differs."""
    done = subprocess.run([os.environ[RAW], folder], check=True, capture_output=True, text=True)
    cycles, differ, seconds = done.stdout.split()
    assert int(differ) == 0, f"{differ} beats differ"
    return int(cycles), float(seconds)


@batch_test
async def rates(bench: BatchBench) -> None:
    """Measure all four in turn; writes cycles and cycles/s of each to the file that OUT names."""
    out = Path(os.environ[OUT])
    whole, part = workload(bench, CHANNELS_OUT), workload(bench, -(-CHANNELS_OUT // SHARE))
    for name, fields in whole.beats.items():
        memory.pack(bench.ports[name].layout, fields).tofile(out.parent / f"{name}.bin")
    cycles = dict.fromkeys(("naive", "slow", "batched", "raw"), 0)
    best = dict.fromkeys(cycles, 0.0)
    for _ in range(ROUNDS):
        for name in cycles:
            await bench.reset()
            clock = Clock(bench.dut.clk, 10, unit="ns")
            if name in ("naive", "slow"):
                clock.start()
            start = time.process_time()
            if name == "raw":
                came, seconds = raw(out.parent)
            else:
                came = await {"naive": naive, "slow": slow, "batched": batched}[name](
                    bench, whole if name == "batched" else part)
                seconds = time.process_time() - start
            if name in ("naive", "slow"):
                clock.stop()
            cycles[name] += came
            best[name] = max(best[name], came / seconds)
    out.write_text(json.dumps({"cycles": cycles, "cycles_per_s": best}), "utf-8")


def build_raw(files: dict[str, str]) -> Path:
    """The program of `raw`: the same Verilog and options without VPI; kept, under a digest of what it is made from."""
    env, tool = toolchain.verilator_env(), toolchain.verilator()[0]
    source = Path(__file__).with_name("raw.cpp")
    options = [*simulator.FLAGS, "-Wno-lint", "--timescale", "1ns/1ps", "--top-module", TOP, "--prefix", "Vtop"]
    table = program.header(files[f"{TOP}.v"], TOP)
    key = json.dumps([options, simulator.LONG_RUN, tool.version, source.read_text("utf-8"), table, files])
    kept = simulator.BUILD_ROOT / "rtl" / f"raw-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as name:
        folder = Path(name)
        for file, text in (files | {program.HEADER: table}).items():
            (folder / file).write_text(text, "utf-8")
        verilate = [tool.path, "-cc", "--exe", "-Mdir", folder, *options, source, *(folder / file for file in files)]
        make = ["make", "-C", folder, "-f", "Vtop.mk", "-j", "2", *simulator.LONG_RUN.split()]
        for command in (verilate, make):
            subprocess.run(list(map(str, command)), env=env, check=True, capture_output=True)
        (folder / "Vtop").rename(kept)
    return kept


def measure() -> dict[str, float]:
    """The ratios, and the rates in cycles/s and the cycles that they are made from."""
    files, ports = elaborate(sys.modules[__name__], PARAMETER_SETS["16x16"], TOP)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rates.json"
        os.environ |= {RAW: str(build_raw(files)), OUT: str(out)}
        result = simulator.simulate(files, TOP, __name__, ports, PARAMETER_SETS["16x16"], block="engine",
                                    set_name="16x16", seed=1, make=simulator.LONG_RUN)
        assert result.passed, f"{' || '.join(result.failures)}; log: {result.log}"
        found = json.loads(out.read_text("utf-8"))
    rate = found["cycles_per_s"]
    return {**{f"rtl_batched_vs_{name}": rate["batched"] / rate[name] for name in ("naive", "slow", "raw")},
            **{f"rtl_{name}_cycles_per_s": value for name, value in rate.items()},
            **{f"rtl_{name}_cycles": value for name, value in found["cycles"].items()}}
