"""Mistakes seeded into the block Hadamard unit, which its regression must catch."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, ValueLike

from tb.run.fault import Fault, inside, replace, survives_reset

ALONE = ("each_channel_alone_is_its_column_of_the_matrix",)
RANDOM = ("random_tokens_are_transformed_as_the_golden_model_does",)
HALVES = ("half_steps_round_up_and_their_neighbours_do_not",)
FULL = ("sums_fill_their_registers_and_saturate_on_both_sides",)
STALLS = ("every_pair_of_stall_patterns",)
ROW = ("jobs_on_and_off_follow_each_other",)
RESET = ("a_reset_in_the_middle_leaves_nothing_behind",)


def _no_signs(bits: Value) -> Value:
    return Const(0, 1)


def _first_pair_alone(bits: Value) -> Value:
    return bits[0] & bits[1]


def _wrapping(m: Module, name: str, value: ValueLike, width: int) -> tuple[Value, Value]:
    exact = Signal(Value.cast(value).shape(), name=name)
    m.d.comb += exact.eq(value)
    return exact[:width].as_signed(), Const(0)


def _always_moves(_valid: Value, _ready: Value) -> Value:
    return Const(1)


def _fault(name: str, why: str, seam: str, function: object, tests: tuple[str, ...] | None = None,
           set_name: str | None = None) -> Fault:
    return Fault(name=name, block="hadamard", why=why, patch=(f"rtl_gen.hadamard.{seam}", function), tests=tests,
                 set_name=set_name)


FAULTS: tuple[Fault, ...] = (
    _fault("no_signs", "σ is 1 in every place", "unit.odd_pairs", _no_signs, ALONE),
    _fault("signs_of_the_first_pair", "σ knows the lowest two bits of a place alone", "unit.odd_pairs",
           _first_pair_alone, ALONE),
    _fault("difference_turned", "differences between beats are b − a", "beats.difference", lambda a, b: b - a, ALONE),
    _fault("padding_counts", "what is beyond the last channel takes part", "unit.exists",
           lambda lane, final, padding, tail: Const(1), RANDOM),
    _fault("beats_that_pad_count", "what the input shows while a block is filled takes part", "unit.exists",
           lambda lane, final, padding, tail: ~(final & (tail <= lane)), RANDOM),
    _fault("drop_rounding", "h is floored instead of rounded half up", "unit.half_up",
           lambda doubled: doubled >> 1, HALVES),
    _fault("half_before_no_shift", "a shift of 0 rounds as well", "unit.halve",
           lambda h, shift: Cat(Const(1, 1), h).as_signed() >> shift, HALVES),
    _fault("wrap_instead_of_saturating", "a value beyond the input's width loses its upper bits", "unit.saturate",
           _wrapping, FULL),
    _fault("ignore_ready", "the pipeline moves on while an output beat waits", "unit.can_move", _always_moves, STALLS),
    Fault(name="place_read_late", block="hadamard", tests=RANDOM,
          why="a beat finds what waited a place before its own", set_name="largest",
          edit=inside("stamp_hadamard_beats0", "store[read_at + {3'd0, stepped}]", "store[read_at]")),
    Fault(name="differences_wait_for_beats", block="hadamard", tests=RANDOM,
          why="differences leave only while beats come, so the last ones of a job never do",
          edit=inside("stamp_hadamard_beats0", "stepped = combined | drains", "stepped = combined | drains & valid")),
    Fault(name="counts_survive_reset", block="hadamard", why="a token that was under way is counted on behind a reset",
          tests=RESET, edit=survives_reset("stamp_hadamard", "beat")),
    Fault(name="half_a_run_survives_reset", block="hadamard", tests=RESET,
          why="after a reset the first beats of a run are taken for its second half",
          edit=survives_reset("stamp_hadamard_beats0", "second")),
    Fault(name="a_token_more", block="hadamard", why="a job takes tokens of the job behind it", tests=ROW,
          edit=replace("wants = on & (coming != 17'd0)", "wants = on")),
    Fault(name="off_takes_without_a_job", block="hadamard", why="with no job at hand a beat passes", tests=ROW,
          edit=replace(": running & o__ready;", ": o__ready;")),
    Fault(name="count_offered_beats", block="hadamard", why="events count a waiting beat in every cycle", tests=STALLS,
          edit=replace("(y_valid_held & o__ready) ?", "y_valid_held ?")),
)
