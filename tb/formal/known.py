"""What units know of their counts a cycle ahead, so that no cycle is long, is what the counts say."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.engine import layouts as engine_layouts
from rtl_gen.engine.front import State
from rtl_gen.engine.rules import tests
from rtl_gen.haar.layouts import walk_layout
from rtl_gen.haar.slots import split
from rtl_gen.lib.bits import following
from rtl_gen.scale.divider import result_layout
from rtl_gen.scale.unit import job_layout
from stamp_hw.engine.params import EngineParams
from stamp_hw.params import HaarParams, MacParams, ScaleParams
from tb.formal.checker import Checker


def queued(checker: Checker, m: Module, prefix: str = "") -> Signal:
    """Words in a queue of `rtl_gen.lib.queue`, whose one bit must say how many they are."""
    fill = checker.internal(f"{prefix}fill")
    count = Signal(range(len(fill)), name=f"{prefix.replace('.', '_')}words")
    m.d.comb += count.eq(sum(Mux(fill[words], words, 0) for words in range(len(fill))))
    checker.must(m, fill == (1 << count)[:len(fill)])
    return count


def of_array(checker: Checker, params: MacParams, prefix: str = "") -> Value:
    """Of the MAC array, whose signals begin with `prefix`."""
    flight, left, queued, flies, lands, drains, ends, owed, fill, move, may_end = (
        checker.internal(f"{prefix}{name}") for name in ("flight", "left", "queued", "flies", "lands", "drains",
                                                         "tile_ends", "owed", "fill", "move", "may_end"))
    said = (flies == (flight != 0)) & (lands == (flight == 1)) & (drains == (left != 0)) & (ends == (left == 1))
    said &= (owed == left + queued) & (fill == Cat(queued == beats for beats in range(params.queue_beats + 1)))
    said &= move == (drains & (queued != params.queue_beats))
    said &= checker.internal(f"{prefix}row_moves") == (move & checker.internal(f"{prefix}row_is_last") & ~ends)
    return said & (may_end == ((flight == 0) & (left <= params.latency) & (owed <= params.queue_beats)))


def of_step(checker: Checker, m: Module) -> tuple[Value, Value]:
    """Of the engine's next step: whether there is one, and whether it may be issued once its weights are there, which
    one that is not its tile's last may always."""
    opens, inside, starts, goes, none, last = (checker.internal(f"issue.{name}") for name in (
        "tile_opens", "tile_inside", "step_starts", "step_goes", "tile_none", "last_"))
    checker.must(m, ~(opens & inside) & (none == ~(opens | inside)) & (~starts | opens) & (~goes | inside))
    checker.must(m, none | last | starts | goes)
    return ~none, starts | goes


def place_in_row(checker: Checker, params: MacParams, prefix: str = "") -> tuple[Value, Value]:
    """Beats of the row at the array's upper edge that have left, and whether what is known of the beat at hand and of
    the one behind it says so."""
    drains, slot_next, slot, row_is_last = (checker.internal(f"{prefix}{name}") for name in (
        "drains", "slot_next", "slot", "row_is_last"))
    chunks = params.cols // params.lanes
    at: Value = checker.internal(f"{prefix}chunk_next") if chunks > 1 else Const(1)
    chunk = sum((Mux(at[number], number, 0) for number in range(1, chunks)), Const(0))
    behind = Mux(slot_next, chunks, 0) + chunk  # the beat behind; 0, a row's first one, where none is at hand
    gone = Mux(drains, Mux(behind == 0, 2 * chunks, behind) - 1, 0)[:(2 * chunks).bit_length()]
    said = (at == (Const(1) << chunk)) & (drains | (behind == 0)) & (slot == (gone >= chunks))
    return gone, said & (row_is_last == (gone == 2 * chunks - 1))


def of_divider(checker: Checker, prefix: str) -> Value:
    """Of a divider."""
    valid, left, final = (checker.internal(f"{prefix}{name}") for name in ("divide_valid", "divide_left", "final"))
    return ~valid | (final == (left == 0))


def of_input(checker: Checker, params: ScaleParams, prefix: str = "") -> Value:
    """Of the scale unit's input: what a beat is, and whether it is taken."""
    running, token_beat, group_beat, used, waiting, token_end, group_full, full, ready = (
        checker.internal(f"{prefix}{name}") for name in ("running", "token_beat", "group_beat", "used", "waiting",
                                                         "token_end", "group_full", "full", "i__ready"))
    job = data.View(job_layout(params), checker.internal(f"{prefix}job"))
    token_single, group_single, token_last, group_last = (checker.internal(f"{prefix}{name}") for name in (
        "token_single", "group_single", "token_last", "group_last"))
    ends = (token_single == (job.beats == 1)) & (group_single == (job.group_beats == 1))
    ends &= (token_last == (job.beats - 2)[:len(token_last)]) & (group_last == (job.group_beats - 2)[:len(group_last)])
    ends &= (token_end == (token_beat + 1 == job.beats)) & (group_full == (group_beat + 1 == job.group_beats))
    crowded = (token_end | group_full) & (waiting == params.groups_in_flight)
    return (~running | ends) & (full == (used == params.buffer_beats)) & (ready == running & ~full & ~crowded)


def of_scale(checker: Checker, params: ScaleParams, prefix: str = "") -> Value:
    """Of the scale unit in hardware without blocks, its divider included; the `single` of the groups that wait for
    their quotient aside."""
    return of_input(checker, params, prefix) & of_divider(checker, f"{prefix}divider.")


def of_group(checker: Checker, params: ScaleParams, prefix: str = "") -> Value:
    """Of the group that the scale unit reads, in hardware without blocks."""
    result = data.View(result_layout(params), checker.internal(f"{prefix}divider.result"))
    return result.final == (checker.internal(f"{prefix}read_beat") == result.group.info.beats)


def is_single(info: data.View) -> Value:
    """Whether a group's mark of a single beat is right."""
    return info.single == (info.beats == 0)


def of_front(checker: Checker, m: Module, params: EngineParams) -> None:
    """Of the engine's front: the job at hand is one that the engine can run, once it was found to be."""
    state = checker.internal("front.state")
    registers = data.View(engine_layouts.job_layout(params), checker.internal("front.registers_held"))
    tested = tests(registers, params)
    checker.must(m, (state < State.SINKS) | tested.all())
    checker.must(m, (state != State.CHECK) | (checker.internal("front.fits") == tested))
    checker.must(m, checker.internal("front.lifts_sinks") == (state == State.SINKS))
    checker.must(m, checker.internal("front.idle") == (state == State.IDLE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a lifting unit is with a job: it is to plan its `first` slot, or `running`, a slot at hand; how many
    `beats` a token has, and cycles a busy slot (`whole`)."""

    first: Signal
    running: Value
    beats: Value
    whole: Value


def of_slots(checker: Checker, m: Module, unit: ModuleType, params: HaarParams, prefix: str) -> Stage:
    """Of a lifting unit, `unit` its module: what is known of the cycle at hand, and `of_plan`."""
    names = ("idle", "cycle", "beats_before_last", "cycle_before_last", "single", "active", "wants", "with_last",
             "slot_is_final", "plans", "stops")
    idle, cycle, before_last, whole, single, active, wants, with_last, final, plans, stops = (
        checker.internal(f"{prefix}slots.{name}") for name in names)
    begins, planned = checker.internal(f"{prefix}job_begins"), checker.internal(f"{prefix}slots.plan")
    loads, leaves, tile_ends = (checker.internal(f"{prefix}slots.{name}") for name in ("loads_", "leaves", "tile_ends"))
    plan = data.View(unit.unit_plan(params), checker.internal(f"{prefix}plan"))
    first = Signal(name=f"{prefix}first")
    m.d.sync += first.eq(begins | (first & ~planned))
    stage = Stage(first=first, running=~idle & ~first, beats=Mux(single, 1, before_last + 2), whole=whole + 2)
    over = ~plan.busy | (cycle + 1 == stage.whole)
    checker.must(m, ~first | ~idle)
    checker.must(m, idle | ~single | before_last.all())
    checker.must(m, active == (stage.running & plan.busy & (cycle < stage.beats)))
    checker.must(m, wants == (active & plan.takes))
    checker.must(m, ~stage.running | (with_last == (cycle + 1 == stage.beats)))
    checker.must(m, plans == (first | stage.running & over & ~final))
    checker.must(m, (loads == (idle | plans)) & (leaves == (idle | plans & tile_ends)))
    checker.must(m, stops == (stage.running & over & final))
    checker.must(m, idle | stage.running & plan.busy | (cycle == 0))
    checker.must(m, idle | (stage.beats <= stage.whole) & (cycle < stage.whole))
    checker.must(m, idle | (stage.whole >= params.min_slot_cycles))
    checker.must(m, idle | (stage.whole <= max(params.max_beats, params.min_slot_cycles)))
    works = plan.takes | plan.emits | plan.wait_read | plan.even_read | plan.odd_read
    checker.must(m, idle | first | (plan.busy == works))
    return stage


def of_walk(checker: Checker, m: Module, unit: ModuleType, params: HaarParams, prefix: str) -> Value:
    """Of a lifting unit with a job, `unit` its module: the ruler is that of the slot to plan, its turn that of the slot
    behind it, and it is known whether the slot is its tile's last."""
    walk = data.View(walk_layout(params), checker.internal(f"{prefix}slots.walk"))
    two_d = walk.two_d if params.axes == 2 else Const(0)
    turns = [unit.turn(m, f"said{number}", offset, walk.mask, params)
             for number, offset in enumerate((walk.offset, following(walk.offset) & walk.mask))]
    ruler = unit.ruler(m, "said", turns[0], walk.mask, two_d, params)
    said = ((checker.internal(f"{prefix}ruler") == ruler.as_value())
            & (checker.internal(f"{prefix}turn") == turns[1].as_value())
            & (checker.internal(f"{prefix}slots.tile_ends") == (walk.offset == walk.mask)))
    return checker.internal(f"{prefix}slots.idle") | said


def of_tile(checker: Checker, params: HaarParams, prefix: str) -> Value:
    """Of a lifting unit with a job: the edges of the tile to plan are those of the lengths that are told from the tile
    behind it."""
    walk = data.View(walk_layout(params), checker.internal(f"{prefix}slots.walk"))
    two_d = walk.two_d if params.axes == 2 else Const(0)
    said: Value = Const(1)
    last_row, last_column = split(walk.mask, two_d, params.axes)
    axes = [("columns", last_column, walk.edge_column)] + ([("rows", last_row, walk.edge_row)]
                                                           if params.axes == 2 else [])
    ends: list[Value] = []
    inside: list[Value] = []
    for name, last, edge in axes:
        ahead = checker.internal(f"{prefix}slots.{name}_ahead").as_signed()
        place = ahead + last + 1
        ends.append(ahead < 0)
        inside.append(place >= 0)
        said &= ~inside[-1] | (edge == Mux(ahead < 0, place[:len(last)], last))
    # in 2-D the walk goes back to the left edge
    said &= (walk.empty == ~inside[-1]) & (inside[0] if params.axes == 2 else 1) & (walk.is_last == Cat(ends).all())
    return checker.internal(f"{prefix}slots.idle") | said
