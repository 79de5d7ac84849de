"""Register map of `stamp_engine_axi`: one table, from which come the RTL, the document, the C header and the tests.

A register is a word of 32 bits. What an access to a field does:

- `const`: a constant of the build, read only
- `ro`: the state of this moment, read only
- `rw`: keeps what was written
- `w1c`: a sticky bit, cleared by writing 1 to it
- `pulse`: writing 1 does something once; reads 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from amaranth.hdl import Shape

from rtl_gen.axi.event_counters import EVENT_WIDTH, select_width
from rtl_gen.axi.halt import TIMEOUT_WIDTH
from rtl_gen.engine.layouts import ERRORS, errors_of, event_layout, job_layout
from stamp_hw.engine.params import EngineParams

Access = Literal["const", "ro", "rw", "w1c", "pulse"]

WORD_BYTES = 4
ADDRESS_WIDTH = 12  # bits of an AXI4-Lite address: one page of 4 KB
IDENTITY = int.from_bytes(b"STMP", "big")
MAP_VERSION = 2  # of this table; it grows when a driver would have to change
JOB_BASE = 0x080  # offset of the first job register
CAPABILITY_BASE = 0x040
COUNTER_WIDTH = 32
JOB_PREFIX = "JOB_"
WHOLE = "value"  # name of a field that is the whole register
#: Errors of the wrapper itself, in `ERROR` from bit 8 on.
EDGE_ERRORS = {"start_busy": "START was written while STATUS.busy; that START did nothing",
               "range": "a register was written with a value that does not fit it; it holds the low bits",
               "starved": "a job waited on a stream, and no beat moved, for TIMEOUT cycles; the engine halts"}
EDGE_ERROR_BIT = 8
#: Errors after which what the streams bring may belong to a job that will not run: the engine halts.
HALTING_ERRORS = ("illegal_job", "overflow", "starved")
_ENGINE_ERRORS = {"illegal_job": "a job's registers were refused; nothing of it will come out. The engine ends the "
                                 "jobs before it and halts",
                  "overflow": "a super-tile did not fit the activation buffer: registers that do not fit each other. "
                              "The engine ends the job, with wrong results, and halts",
                  "framing": "TLAST of the activations was not on the last beat of a token",
                  "internal": "a bug of the hardware; reset it",
                  "weights": "weights came with a step and a zero that leave INT8; they were saturated"}

_CAPABILITIES = {
    "rows": "rows of the MAC array", "cols": "columns of the MAC array, output channels of a column tile",
    "lanes": "channels a beat of the activations", "axes": "2: has 2-D lifting",
    "max_levels": "levels of lifting; a level of a grid counts twice", "max_k": "input channels of the largest layer",
    "max_tokens": "tokens of the longest sequence or largest grid",
    "act_slots": "row slots of each half of the activation buffer",
    "rescale_lanes": "output channels a beat of the results", "in_width": "bits of an input value",
    "z_frac": "fractional bits of an output coefficient",
    "block": "input channels of a block that has a scale of its own",
    "packed_weights": "1: has packed weights", "pad_beats": "1: beats fill a power of two of bytes"}

#: Of these, what hardware without it has no register for; offsets are the same in all builds.
_OPTIONAL = ("block", "packed_weights", "pad_beats")

#: Every job register in the order of the map, those that only some builds have among them: offsets are the same in all.
_JOB = {
    "width": "tokens of a row of the grid; of the whole sequence in 1-D",
    "height": "rows of the grid; 1 in 1-D", "two_d": "1: the tokens are a grid", "levels": "levels of lifting",
    "n_sink": "tokens in front of the sequence that bypass the transform, its outliers; 0 in 2-D",
    "symmetric": "1: symmetric scales; table 1 of the parameters is then that of the 4-bit tokens",
    "beats": "beats of an input token, ceil(K / lanes)", "tail": "channels in the last of them",
    "columns": "column tiles, ceil(N / cols)", "out_beats": "beats of a token of the last column tile",
    "out_keep": "valid lanes of the last of them", "tile_width": "tokens of a full super-tile along the width",
    "tile_height": "and along the height", "hi_order": "order of the first coefficient that takes 4 bits",
    "hi_band": "its band", "hi_row": "its row", "hi_column": "its column",
    "blocks": "1: a scale a block of input channels; 0: one a token",
    "packed": "1: weights of 4 bits, two in a byte", "weight_group": "input channels that share their step and zero: "
    "1: 32, 2: 64, 3: 128; 0: no groups",
    "hadamard": "1: the Hadamard unit transforms the channels; beats and tail are then a token's behind it",
    "hadamard_shift": "r, by which it shifts right",
    "in_beats": "beats of an input token, ceil(K / lanes), where it does", "in_tail": "channels in the last of them"}


_EVENTS = {
    "haar_butterflies": "beats of lifted pairs", "haar_cross_butterflies": "beats of a grid's second pairs",
    "haar_line_reads": "beats read from the lines of the lifting unit", "haar_line_writes": "beats written to them",
    "scale_compares": "beats compared for their range", "scale_buffer_writes": "beats written to the ring buffer",
    "scale_buffer_reads": "beats read from it", "scale_divisions": "divisions",
    "scale_divide_steps": "bits of quotients", "scale_multiplies": "beats quantized",
    "mac_multiplies8": "multiplications of an 8-bit code", "mac_multiplies4": "those of a pair of 4-bit codes",
    "mac_steps": "steps of the array", "mac_drained": "beats of sums drained",
    "rescale_multiplies": "multiplications of the rescale unit", "rescale_outputs": "words it made",
    "rescale_saturated": "those of them that saturated", "inverse_butterflies": "beats of pairs lifted back",
    "inverse_cross_butterflies": "beats of a grid's second pairs", "inverse_line_reads": "beats read from the lines of "
    "the inverse unit", "inverse_line_writes": "beats written to them", "finish_outputs": "words of results, those of "
    "channels beyond N among them", "finish_saturated": "those of them that saturated",
    "combine_sums": "beats of a block's sums that were combined",
    "hadamard_beats": "beats that entered the Hadamard unit, those that fill a block among them",
    "hadamard_saturated": "words that saturated in it"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Bits `low` … `low` + `width` − 1 of a register; `reset` is the value after reset, of a constant its value."""

    name: str
    low: int
    width: int
    access: Access
    reset: int = 0
    description: str

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return ((1 << self.width) - 1) << self.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A word at byte `offset`; bits of no field read 0."""

    name: str
    offset: int
    description: str
    fields: tuple[Field, ...]

    @property
    def whole(self) -> bool:
        """Whether it has one field, which needs no name."""
        return len(self.fields) == 1 and self.fields[0].name == WHOLE

    @property
    def writable(self) -> bool:
        """Whether a write is anything but an error."""
        return any(field.access in ("rw", "w1c", "pulse") for field in self.fields)

    @property
    def reset(self) -> int:
        """What it reads after reset."""
        return sum(field.reset << field.low for field in self.fields)


def whole(name: str, offset: int, access: Access, width: int, description: str, reset: int = 0) -> Register:
    """A register of one field."""
    return Register(name=name, offset=offset, description=description, fields=(
        Field(name=WHOLE, low=0, width=width, access=access, reset=reset, description=description),))


def bits(access: Access, names: dict[str, str], low: int = 0) -> tuple[Field, ...]:
    """Fields of one bit each, from bit `low` on."""
    return tuple(Field(name=name, low=low + index, width=1, access=access, description=text)
                 for index, (name, text) in enumerate(names.items()))


def engine_errors(params: EngineParams) -> dict[str, str]:
    """The engine's own errors, in `ERROR` from bit 0 on → what each means."""
    assert tuple(_ENGINE_ERRORS) == ERRORS
    return {name: _ENGINE_ERRORS[name] for name in errors_of(params)}


def watch_registers(params: EngineParams) -> tuple[Register, ...]:
    """The time-out and the totals of events."""
    return (
        whole("TIMEOUT", 0x024, "rw", TIMEOUT_WIDTH,
              "cycles that a job may wait on a stream while no beat moves; 0: any number"),
        whole("TIMEOUT_LEFT", 0x028, "ro", TIMEOUT_WIDTH, "cycles of them that are left"),
        whole("EVENT_SELECT", 0x02C, "rw", select_width(event_layout(params)), "number of an event"),
        whole("EVENT_LOW", 0x030, "ro", 32, "its total since reset or CTRL.clear_events, bits 31:0"),
        whole("EVENT_HIGH", 0x034, "ro", EVENT_WIDTH - 32, f"bits {EVENT_WIDTH - 1}:32 of it"))


def capability_registers(params: EngineParams) -> tuple[Register, ...]:
    """What the hardware has, as constants."""
    values = {name: int(getattr(params, name) or 0) for name in _CAPABILITIES}
    return tuple(whole(name.upper(), CAPABILITY_BASE + WORD_BYTES * index, "const", 32, _CAPABILITIES[name], value)
                 for index, (name, value) in enumerate(values.items()) if value or name not in _OPTIONAL)


def registers(params: EngineParams) -> tuple[Register, ...]:
    """The map of a build, by rising offset. `registers(params)` is all that RTL, documents and tests know of it."""
    errors = engine_errors(params)
    interrupts = {"done": "a job's last result was taken", "taken": "the engine took a job: START is free again"}
    control = (
        whole("ID", 0x000, "const", 32, "'STMP' in ASCII, the first letter in the highest byte", IDENTITY),
        whole("VERSION", 0x004, "const", 32, "version of this register map", MAP_VERSION),
        Register(name="START", offset=0x008, description="hands the job registers to the engine, unless STATUS.busy",
                 fields=bits("pulse", {"start": "1: start a job with the job registers as they are now"})),
        Register(name="STATUS", offset=0x00C, description="state of this moment", fields=(
            Field(name="idle", low=0, width=1, access="ro", reset=1,
                  description="no job waits or runs, every result was taken and every event is counted"),
            *bits("ro", {"busy": "a job waits for the engine to take it, or the engine is halted: START is refused",
                          "halted": "the engine stands still; what the input streams bring is dropped"}, 1))),
        Register(name="ERROR", offset=0x010, description="sticky errors; write 1 to clear", fields=(
            *bits("w1c", errors), *bits("w1c", EDGE_ERRORS, EDGE_ERROR_BIT))),
        Register(name="IRQ_ENABLE", offset=0x014, description="which bits of IRQ_STATUS raise `irq`", fields=bits(
            "rw", {"done": "enables done", "taken": "enables taken", "error": "enables error"})),
        Register(name="IRQ_STATUS", offset=0x018, description="reasons for an interrupt; write 1 to clear", fields=(
            *bits("w1c", interrupts),
            *bits("ro", {"error": "a bit of ERROR is set; clear it there"}, len(interrupts)))),
        whole("DONE", 0x01C, "ro", COUNTER_WIDTH, "jobs whose last result was taken since reset, modulo 2^32"),
        Register(name="CTRL", offset=0x020, description="what the engine does at its edge", fields=(
            *bits("rw", {"flush": "1: the engine halts, forgets its jobs and drops what the input streams bring",
                          "token_tlast": "1: TLAST of the results ends a token of a column tile; 0: a job",
                          "ignore_framing": "1: TLAST of the activations is not looked at"}),
            *bits("pulse", {"clear_events": "1: the totals of all events begin anew"}, 3))),
        *watch_registers(params),
        Register(name="ERROR_TEST", offset=0x038, description="sets bits of ERROR, to test what handles them", fields=(
            *bits("pulse", {name: f"1: set {name}" for name in errors}),
            *bits("pulse", {name: f"1: set {name}" for name in EDGE_ERRORS}, EDGE_ERROR_BIT))),
    )
    layout = job_layout(params).members
    missing = set(layout) - set(_JOB)
    assert not missing, missing
    job = tuple(whole(job_register(name), JOB_BASE + WORD_BYTES * index, "rw", Shape.cast(layout[name]).width, text)
                for index, (name, text) in enumerate(_JOB.items()) if name in layout)
    return control + capability_registers(params) + job


def job_register(name: str) -> str:
    """Name in the map of a field of `stamp_hw.engine.job.EngineJob`."""
    return JOB_PREFIX + name.upper()


def job_descriptions() -> dict[str, str]:
    """Every job register, those that only some builds have among them → what it holds."""
    return dict(_JOB)


def events(params: EngineParams) -> dict[str, str]:
    """Event → what it counts; its place is its number in EVENT_SELECT. Those of units that only some builds have come
    last."""
    names = tuple(event_layout(params).members)
    assert names == tuple(name for name in _EVENTS if name in names)
    return {name: _EVENTS[name] for name in names}
