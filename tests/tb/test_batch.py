"""The fast bench: what it records and what it refuses equals the slow one, on real RTL with faults seeded into it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from tb.batch import memory, program
from tb.bench.layout import layout_of
from tb.run import simulator
from tb.run.block import elaborate, fresh_seed, run_block
from tb.run.fault import Fault
from tests.support import batch_both, batch_wide, pilot, pilot_batch

LAYOUT = data.StructLayout({
    "last": 1, "code": data.ArrayLayout(signed(5), 3), "wide": signed(63), "whole": data.ArrayLayout(16, 2),
    "pair": data.ArrayLayout(data.StructLayout({"x": signed(1), "y": 7}), 2), "byte": data.ArrayLayout(signed(8), 4)})


@pytest.mark.rtl
@pytest.mark.parametrize("name", pilot.PARAMETER_SETS)
def test_every_misbehaviour_is_seen_as_on_the_slow_bench(name: str) -> None:
    """A wrong value or cycle, a beat dropped, extra, withdrawn or changed under stall, a hang, a miscounted event: the
    pilot's tests look for each one's message. Both benches count the same words, cycles, beats and events."""
    slow, fast = (run_block("pilot", name, fresh_seed(), bench=bench, words=2_000) for bench in (pilot, pilot_batch))
    names = {field.name for field in dataclasses.fields(fast)} - {"seconds", "build_seconds", "test_seconds", "log"}
    assert {field: getattr(fast, field) for field in names} == {field: getattr(slow, field) for field in names}
    assert fast.words >= 2_000 and len(fast.tests) == 6 and fast.timed_beats > 800


@pytest.mark.rtl
@pytest.mark.parametrize("name", batch_both.PARAMETER_SETS)
def test_throttled_jobs_of_the_mac_array_equal_those_on_the_slow_bench(name: str) -> None:
    """Values, the cycle of every beat and events, jobs cut short included; both benches in one process."""
    result = run_block("mac", name, fresh_seed(), bench=batch_both, words=1)
    assert len(result.tests) == 3 and not result.mismatches and result.timed_beats > 1_000


@pytest.mark.rtl
def test_streams_of_every_width_and_events_of_every_kind() -> None:
    result = run_block("wide", "wide", fresh_seed(), bench=batch_wide, words=1)
    assert result.passed and len(result.tests) == 2


@pytest.mark.rtl
def test_a_failing_run_names_block_job_beat_lane_values_seed_and_command() -> None:
    seed = fresh_seed()
    fault = Fault(name="plus_two", block="pilot", why="adds 2", patch=(pilot.INCREMENT, lambda value: value + 2))
    message = (r"block pilot, set narrow, random_values_under_stalls: job 0 [\w.]+ [\w.]+, o\.a, beat 0, lane 0: "
               rf"got -?\d+, expected -?\d+ .*seed {seed}; again: stamp-hw verify --block pilot --set narrow "
               rf"--seed {seed} --words 2000 --test random_values_under_stalls; log: ")
    with pytest.raises(AssertionError, match=message) as caught:
        run_block("pilot", "narrow", seed, fault=fault, tests=["random_values_under_stalls"], bench=pilot_batch,
                  words=2_000)
    assert Path(str(caught.value).rsplit("log: ", 1)[1]).is_file()


@pytest.mark.rtl
def test_waves_show_the_cycles_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every edge of the clock while Python sleeps, at times that only grow."""
    monkeypatch.setattr(simulator, "wave_format", lambda: simulator.VCD)
    result = run_block("pilot", "narrow", 1, waves=True, tests=["directed_values"], bench=pilot_batch, words=1)
    assert result.wave is not None
    head, _, changes = result.wave.read_text("utf-8").partition("$enddefinitions")
    clock = next(line.split()[3] for line in head.splitlines() if line.endswith(" clk $end"))
    times = [int(line[1:]) for line in changes.splitlines() if line.startswith("#")]
    assert times == sorted(set(times))
    assert changes.splitlines().count(f"1{clock}") >= result.cycles > 20


@pytest.mark.parametrize("beats", [0, 1, 4096, 5000])
def test_memories_hold_what_the_flat_integers_hold(rng: np.random.Generator, beats: int) -> None:
    layout = layout_of(LAYOUT, "payload")
    fields = {leaf.name: rng.integers(leaf.limits()[0], leaf.limits()[1], (beats, *leaf.shape), endpoint=True)
              for leaf in layout.leaves}
    words = memory.pack(layout, fields)
    assert words.dtype == np.uint8 and words.shape == (beats, 4 * -(-layout.width // 32))
    assert [memory.to_int(word) for word in words] == layout.pack(fields)
    back = memory.unpack(layout, words)
    assert all(np.array_equal(back[name], fields[name]) and back[name].dtype == np.int64 for name in layout.names)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, bool])
def test_memories_take_integers_of_every_type(kind: type) -> None:
    layout = layout_of(data.StructLayout({"a": signed(6), "b": 1}), "payload")
    values = np.array([0, 1, 1, 0], kind)
    assert np.array_equal(memory.pack(layout, {"a": values, "b": values})[:, 0], [0, 65, 65, 0])


@pytest.mark.parametrize("width", range(1, 131))
def test_a_word_takes_the_bytes_that_verilator_takes(width: int) -> None:
    size = next(size for size in (1, 2, 4, 8, 12, 16, 20) if 8 * size >= width)
    assert memory.word_bytes(width) == size


def test_packing_refuses_what_does_not_fit() -> None:
    layout = layout_of(data.StructLayout({"a": data.ArrayLayout(signed(4), 2), "b": 1}), "payload")
    good = {"a": np.zeros((3, 2), int), "b": np.ones(3, int)}
    assert len(memory.pack(layout, good)) == 3
    for change, message in (({"a": np.full((3, 2), 8)}, "field a: 8…8 does not fit -8…7"),
                            ({"a": np.zeros((3, 3), int)}, "field a: shape"), ({"b": [0, 1]}, "different numbers of"),
                            ({"b": np.zeros(3)}, "field b: float64 given"), ({"c": [1] * 3}, "fields .* given")):
        with pytest.raises(ValueError, match=message):
            memory.pack(layout, good | change)


def test_the_table_of_ports_names_streams_events_and_clock() -> None:
    files, _ = elaborate(pilot, pilot.PARAMETER_SETS["narrow"], "stamp_pilot")
    text = program.header(files["stamp_pilot.v"], "stamp_pilot")
    assert '{"i", 1, &top->i___05Fvalid, &top->i___05Fready, &top->i___05Fpayload, ' in text
    assert '{"o", 0, &top->o___05Fvalid, ' in text and "fault" not in text
    assert "#define STAMP_EVENTS &top->events\n" in text and "#define STAMP_CLOCK(level) top->clk = (level)\n" in text
    bare = "module bare(a, b);\n  input a;\n  output b;\nendmodule\n"
    assert "#define STAMP_PORTS \n#define STAMP_EVENTS nullptr\n" in program.header(bare, "bare")
    assert "#define STAMP_CLOCK(level) (void)(level)\n" in program.header(bare, "bare")
