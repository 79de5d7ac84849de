"""Mistakes seeded into the engine's AXI ports and registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Value, signed
from amaranth.lib import data

from rtl_gen.axi.stream import parameter_data
from tb.run.fault import Fault, survives_reset

LAYERS = "layers_of_random_shapes_are_right_under_pauses_on_every_channel"
STROBES = "a_byte_without_its_strobe_is_not_written"
ADDRESSES = "an_address_that_is_unknown_or_unaligned_is_refused_and_changes_nothing"
ORDER = "answers_come_in_order_and_none_is_lost"
NEXT = "the_next_job_is_written_while_one_runs_and_another_waits"
VALID = "valid_rises_without_waiting_for_ready"
FLUSH = "after_a_flush_at_any_moment_the_next_job_is_right"
REFUSED = "a_refused_job_leaves_nothing_behind"
OVERFLOW = "a_super_tile_beyond_the_buffers_sets_overflow_and_the_next_job_is_right"
TIMEOUT = "no_timeout_comes_where_it_is_off_or_the_beats_come_in_time"
EVENTS = "the_totals_of_events_equal_the_cycle_model"
RESET = "a_reset_in_the_middle_forgets_the_job_and_the_registers"


def _swapped() -> data.StructLayout:
    members = list(parameter_data().members.items())
    members[1], members[2] = members[2], members[1]
    return data.StructLayout(dict(members))


def _narrow() -> data.StructLayout:
    members = parameter_data().members
    return data.StructLayout({"wsum": signed(8), "gap": 24} | {name: members[name] for name in list(members)[1:]})


def _half_strobed(strb: Value) -> Value:
    return Cat(strb[lane // 2 * 2].replicate(8) for lane in range(len(strb)))


def _fault(name: str, test: str, why: str, seam: str, function: object) -> Fault:
    return Fault(name=name, block="axi", why=why, patch=(f"rtl_gen.axi.{seam}", function), set_name="line",
                 tests=(test,))


def _reset(name: str, why: str, module: str, register: str) -> Fault:
    return Fault(name=name, block="axi", why=why, set_name="line", tests=(RESET,),
                 edit=survives_reset(module, register))


FAULTS: tuple[Fault, ...] = (
    _fault("overwrite_a_waiting_beat", LAYERS, "a register slice loads while its beat waits", "stream.can_move",
           lambda valid, ready: Const(1)),
    _fault("overwrite_an_answer", ORDER, "the next answer is given while one waits", "lite.can_move",
           lambda valid, ready: Const(1)),
    _fault("wait_for_ready", VALID, "an answer is given once READY is high", "lite.can_move",
           lambda valid, ready: ready | Const(0)),
    _fault("ignore_strobes", STROBES, "every byte of a word is written", "lite.strobed",
           lambda strb: Const(-1, 8 * len(strb))),
    _fault("strobes_of_half_words", STROBES, "a byte follows the strobe of its half word's first", "lite.strobed",
           _half_strobed),
    _fault("answer_okay_always", ADDRESSES, "an unknown address is answered OKAY", "lite.SLVERR", 0b00),
    _fault("overwrite_a_waiting_job", NEXT, "START while another job waits replaces its registers", "top.accepted",
           lambda start, waiting: start | Const(0)),
    _fault("count_offered_ends", LAYERS, "a job is done in every cycle in which its last result waits",
           "top.taken_now", lambda beat: beat.valid | Const(0)),
    _fault("keep_all_lanes", LAYERS, "lanes beyond N are kept", "top.lane_bytes", lambda keep: Const(3, 2)),
    _fault("keep_one_byte", LAYERS, "TKEEP of a lane marks one of its two bytes", "top.lane_bytes",
           lambda keep: Cat(keep, Const(0))),
    _fault("swap_the_mantissas", LAYERS, "the mantissas of the two tables change places", "ports.parameter_data",
           _swapped),
    _fault("narrow_sums", LAYERS, "a sum of weights is read from one byte", "ports.parameter_data", _narrow),
    _fault("keep_the_slices", FLUSH, "a halt leaves beats in the slices", "top.ResetInserter",
           lambda _halted: lambda unit: unit),
    _fault("keep_the_engine", FLUSH, "a halt does not reset the engine", "top.resets",
           lambda aresetn, halted: ~aresetn),
    _fault("keep_the_next_job", FLUSH, "a job that waits survives a halt", "top.leaves", lambda taken, halted: taken),
    _fault("leave_with_results", FLUSH, "a halt ends while results wait", "halt.stays_halted",
           lambda flush, stands, drained: flush | stands),
    _fault("leave_with_an_error", REFUSED, "a halt ends while its error stands", "halt.stays_halted",
           lambda flush, stands, drained: flush | ~drained),
    _fault("leave_packets_open", FLUSH, "the packet that a halt cuts off has no end", "halt.owes_an_end",
           lambda is_open: is_open & 0),
    _fault("run_on_after_an_overflow", OVERFLOW, "an overflow does not halt", "top.REFUSING", ("illegal_job",)),
    _fault("count_moving_cycles", TIMEOUT, "the time-out counts while beats move", "halt.counts",
           lambda waits, moves: waits | Const(0)),
    _fault("count_busy_cycles", TIMEOUT, "the time-out counts while nobody waits", "halt.counts",
           lambda waits, moves: ~moves),
    _fault("count_twice", EVENTS, "an event's increments are added in every round", "event_counters.carried",
           lambda count, its_turn: count | Const(0)),
    _reset("keep_the_count_in_reset", "the count of finished jobs survives a reset", "stamp_axi", "count"),
    _reset("keep_answers_in_reset", "an answer that waits survives a reset", "stamp_axi_registers", "b__valid"),
)
