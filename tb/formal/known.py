"""What units know of their counts a cycle ahead, so that no cycle is long, is what the counts say."""

from __future__ import annotations

from types import ModuleType

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.haar.layouts import walk_layout
from rtl_gen.haar.slots import split
from rtl_gen.scale.divider import result_layout
from rtl_gen.scale.unit import job_layout
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
    chunk: Value = checker.internal(f"{prefix}chunk_next") if chunks > 1 else Const(0)
    behind = Mux(slot_next, chunks, 0) + chunk  # the beat behind; 0, a row's first one, where none is at hand
    gone = Mux(drains, Mux(behind == 0, 2 * chunks, behind) - 1, 0)[:(2 * chunks).bit_length()]
    said = (chunk < chunks) & (drains | (behind == 0)) & (slot == (gone >= chunks))
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


def of_slots(checker: Checker, prefix: str) -> Value:
    """Of a lifting unit with a job."""
    first, running, cycle, beats, last_cycle, within, with_last, slot_last = (
        checker.internal(f"{prefix}{name}") for name in ("first", "running", "cycle", "beats", "last_cycle", "within",
                                                         "with_last", "slot_last"))
    said = (within == (cycle < beats)) & (with_last == (cycle + 1 == beats)) & (slot_last == (cycle == last_cycle))
    return ~(first | running) | said


def of_walk(checker: Checker, m: Module, unit: ModuleType, params: HaarParams, prefix: str) -> Value:
    """Of a lifting unit with a job, `unit` its module: the ruler is that of the slot to plan, it is known
    whether that is its tile's last and where the next tile begins, and `of_plan`."""
    first, running = checker.internal(f"{prefix}slots.first"), checker.internal(f"{prefix}slots.running")
    walk = data.View(walk_layout(params), checker.internal(f"{prefix}slots.walk"))
    ruler = unit.ruler(m, "said", walk.offset, walk.mask, walk.two_d if params.axes == 2 else Const(0), params)
    _, last_column = split(walk.mask, walk, params.axes)
    column = checker.internal(f"{prefix}slots.next_column")
    said = ((checker.internal(f"{prefix}ruler") == ruler.as_value())
            & (checker.internal(f"{prefix}slots.tile_ends") == (walk.offset == walk.mask))
            & (column == (walk.column + last_column + 1)[:len(column)]))
    return (~(first | running) | said) & of_plan(checker, unit, params, prefix)


def of_plan(checker: Checker, unit: ModuleType, params: HaarParams, prefix: str) -> Value:
    """The slot at hand is busy where its plan has something to do."""
    plan = data.View(unit.unit_plan(params), checker.internal(f"{prefix}plan"))
    works = plan.takes | plan.emits | plan.wait_read | plan.even_read | plan.odd_read
    return ~checker.internal(f"{prefix}slots.running") | (plan.busy == works)
