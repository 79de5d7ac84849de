"""Mistakes in the lifting units, and in the bias behind them, that their regression must catch."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Mux, Signal, Value

from tb.run.fault import Fault

RANDOM = ("random_jobs_under_stalls_equal_the_golden_model",)
SHAPES = ("every_small_shape_is_exact",)
STALLS = ("an_output_that_never_seems_ready_loses_nothing",)
RESET = ("a_reset_in_the_middle_leaves_nothing_behind",)
BIAS = ("bias_rounding_and_saturation_equal_the_golden_model",)


def _whole(d: Value) -> Value:
    return d


def _towards_zero(d: Value) -> Value:
    return (d + d[-1]) >> 1


def _always_moves(_valid: Value, _ready: Value) -> Value:
    return C(1)


def _survives(name: str, init: int = 0) -> Signal:
    return Signal(name=name, init=init, reset_less=True)


def _never_passes(a: Value, b: Value, _paired: Value) -> Value:
    return b - a


def _no_longer_than_the_beats(beats: Value, _least: int, _most: int) -> Value:
    return beats


def _height_first(offset: Value, two_d: Value, axes: int) -> tuple[Value, Value]:
    if axes == 1:
        return C(0, 1), offset
    return Mux(two_d, Cat(offset[0::2]), 0), Mux(two_d, Cat(offset[1::2]), offset)


def _floor(value: Value, frac: int) -> Value:
    return value >> frac


def _wraps(value: Value, width: int) -> tuple[Value, Value]:
    head = value[width - 1:]
    return value[:width].as_signed(), head.any() & ~head.all()


FAULTS = (
    Fault(name="drop_floor_shift", block="haar", why="s = a + d", set_name="forward_tiny", tests=SHAPES,
          patch=("rtl_gen.haar.forward.floor_half", _whole)),
    Fault(name="ignore_ready", block="haar", why="the pipeline moves while an output beat waits",
          set_name="forward_tiny", tests=STALLS, patch=("rtl_gen.haar.common.can_move", _always_moves)),
    Fault(name="inverse_halves_towards_zero", block="haar", why="a negative odd d is halved upwards",
          set_name="inverse_tiny_deep", tests=SHAPES, patch=("rtl_gen.haar.inverse.floor_half", _towards_zero)),
    Fault(name="skip_reset", block="haar", why="a job under way survives a reset", set_name="forward_tiny",
          tests=RESET, patch=("rtl_gen.haar.slots.state", _survives)),
    Fault(name="alone_does_not_pass", block="haar", why="a last token without a partner takes in a stale d",
          set_name="forward_tiny", tests=SHAPES, patch=("rtl_gen.haar.forward.lift_d", _never_passes)),
    Fault(name="slot_too_short", block="haar", why="a slot reads a line before the one before it has written it",
          set_name="forward_tiny", tests=SHAPES, patch=("rtl_gen.haar.slots.slot_cycles", _no_longer_than_the_beats)),
    Fault(name="morton_swapped", block="haar", why="tokens of a tile are counted down the columns first",
          set_name="forward_tiny", tests=SHAPES, patch=("rtl_gen.haar.slots.split", _height_first)),
    Fault(name="wrong_band", block="haar", why="HL and HH change their tags", set_name="forward_tiny", tests=SHAPES,
          patch=("rtl_gen.haar.forward.HL", 3)),
    Fault(name="inverse_ignores_ready", block="haar", why="the pipeline moves while an output beat waits",
          set_name="inverse_tiny_deep", tests=STALLS, patch=("rtl_gen.haar.common.can_move", _always_moves)),
    Fault(name="drop_half", block="haar", why="outputs are floored, not rounded", set_name="finish", tests=BIAS,
          patch=("rtl_gen.haar.finish.half_up", _floor)),
    Fault(name="saturate_late", block="haar", why="outputs wrap and only the count sees it", set_name="finish",
          tests=BIAS, patch=("rtl_gen.haar.finish.saturate", _wraps)),
)
