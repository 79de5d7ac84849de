"""From a layer to a bitstream that was seen to say what it must: simulation, then place and route, at a clock rate."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl_gen.board import delivery, ulx3s
from rtl_gen.board.contents import Contents, board_params
from rtl_gen.board.params import BAUD, BoardParams
from rtl_gen.board.program import said
from rtl_gen.flow import bitstream
from rtl_gen.flow.bitstream import Routed
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError, ToolError
from stamp_hw.layer import Layer
from tb.board import simulate
from tb.board.layer import check_fits, hold
from tb.board.simulate import Seen

CELLS = ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D")  # that are named


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Board:
    """A layer on a board at a clock rate: what is built, and what its memories hold."""

    mhz: int
    params: BoardParams
    held: Contents
    modules: Mapping[str, str]
    memories: Mapping[str, str]
    bytes_used: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """A board that was seen to say what it must, and its bitstream where it was placed."""

    board: Board
    seen: Seen
    routed: Routed | None = None
    bits: bytes = b""


def finish(layer: Layer, config: NpuConfig, mhz: int, *, fixed: bool, seed: int | None, say: Callable[[str], None]
           ) -> Finished | None:
    """Build, simulate and place; None where the simulation says anything else than the golden model.

    Parameters
    ----------
    mhz : the clock rate; unless `fixed` the first that is tried, before the fastest that was reached
    seed : of place and route, None for a simulation alone
    say : what is told of each step

    Raises StampError where the clock rate is not reached, and as `board` and `place`.
    """
    while True:
        one = board(layer, config, mhz)
        seen = watch(one, config)
        if wrong := difference(one, seen):
            say(f"simulated at {mhz} MHz: {wrong}")
            return None
        say(f"simulated at {mhz} MHz: {seen.cycles:,} cycles, the serial line says what the golden model wants")
        say(f"block RAM: {one.bytes_used:,} bytes of {ulx3s.EBRS * ulx3s.EBR_BYTES:,}")
        if seed is None:
            return Finished(board=one, seen=seen)
        routed, bits = place(one, seed)
        say(f"placed and routed in {routed.seconds:.0f} s, seed {seed}: {routed.fmax_mhz:.1f} MHz, {mhz} wanted")
        say("cells: " + ", ".join(f"{routed.cells[kind].used:,} {kind}" for kind in CELLS if kind in routed.cells))
        if routed.met:
            return Finished(board=one, seen=seen, routed=routed, bits=bits)
        reached = None if fixed else slower(mhz, routed.fmax_mhz)
        if reached is None:
            raise StampError("the clock does not reach its rate", where=f"{mhz} MHz", got=f"{routed.fmax_mhz:.1f} MHz",
                             expected="a lower --mhz, or another --seed")
        mhz = reached


def board(layer: Layer, config: NpuConfig, mhz: int) -> Board:
    """The board that runs this layer. Raises ConfigError where it cannot."""
    held = hold(layer, config, mhz)
    params = board_params(config, held, mhz * 1e6)
    used = check_fits(layer, config, params)
    return Board(mhz=mhz, params=params, held=held, modules=delivery.modules(params, config, mhz),
                 memories=delivery.memories(held, params), bytes_used=used)


def watch(one: Board, config: NpuConfig) -> Seen:
    """The board under Verilator, to the last byte on its serial line."""
    program = simulate.build(delivery.simulated(one.modules, config), ulx3s.TOP)
    return simulate.run(program, one.memories, one.mhz * 1e6 / BAUD)


def difference(one: Board, seen: Seen) -> str:
    """What is wrong with what was seen, "" where nothing is: the text is that of the golden and the cycle model."""
    wanted = said(one.held.report)
    if seen.text != wanted:
        lines = zip([*seen.text.split("\r\n"), ""], [*wanted.split("\r\n"), ""], strict=False)
        got, expected = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
        return f"the serial line says {got!r}, not {expected!r}"
    return "" if seen.passed else f"lamps {seen.led:08b}, {seen.framing} bytes that are none"


def place(one: Board, seed: int) -> tuple[Routed, bytes]:
    """Synthesize, place and route; the bitstream, empty where the clock does not reach its rate. Raises ToolError."""
    with tempfile.TemporaryDirectory(prefix="stamp-board-") as name:
        folder = Path(name)
        bitstream.synthesize(folder, one.modules, one.memories, ulx3s.TOP)
        routed = bitstream.route(folder, ulx3s.constraints(), ulx3s.TOP, seed)
        if round(routed.wanted_mhz) != one.mhz:
            raise ToolError("place and route aimed at another clock", where=bitstream.REPORT,
                            got=f"{routed.wanted_mhz} MHz", expected=f"{one.mhz} MHz")
        return routed, bitstream.pack(folder, delivery.BITSTREAM) if routed.met else b""


def slower(mhz: int, fmax_mhz: float) -> int | None:
    """The fastest of the board's clock rates that is slower than `mhz` and that was reached; None for none."""
    return next((one for one in ulx3s.MHZ if one < mhz and one <= fmax_mhz), None)
