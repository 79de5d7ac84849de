"""Mistakes seeded into the rescale unit."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, ValueLike

from tb.run.fault import Fault, replace


def _wrapping(m: Module, name: str, value: ValueLike, width: int) -> tuple[Value, Value]:
    exact = Signal(Value.cast(value).shape(), name=name)
    m.d.comb += exact.eq(value)
    return exact[:width].as_signed(), Const(0)


def _one_sided(m: Module, name: str, value: ValueLike, width: int) -> tuple[Value, Value]:
    exact = Signal(Value.cast(value).shape(), name=name)
    m.d.comb += exact.eq(value)
    top = (1 << (width - 1)) - 1
    return Mux(exact > top, top, exact[:width].as_signed()), exact > top


def _fault(name: str, why: str, seam: str, function: object) -> Fault:
    return Fault(name=name, block="rescale", why=why, patch=(f"rtl_gen.rescale.{seam}", function))


FAULTS: tuple[Fault, ...] = (
    _fault("drop_rounding", "the product is floored instead of rounded half up", "rounding_bit",
           lambda shifted: Const(0)),
    _fault("drop_seventeen", "a 4-bit token keeps its own unit", "common_unit", lambda total, hi, symmetric: total),
    _fault("seventeen_in_symmetric_mode", "a symmetric 4-bit token is scaled by 17 as well", "common_unit",
           lambda total, hi, symmetric: total + Mux(hi, 0, total << 4)),
    _fault("wrap_instead_of_saturating", "a value beyond 24 bits loses its upper bits", "saturate", _wrapping),
    _fault("saturate_upwards_only", "a value below −2^23 wraps", "saturate", _one_sided),
    _fault("midpoint_of_minmax_always", "symmetric mode adds 128·wsum where it needs 127", "code_sum",
           lambda acc, wsum, hi, symmetric: acc + Mux(hi, wsum << 7, wsum << 3)),
    _fault("qmax_of_minmax_always", "symmetric mode takes 255 where it needs 254", "scaled_low",
           lambda product, hi, symmetric: Mux(hi, product << 8, product << 4) - product),
    _fault("ignore_the_sink_exponent", "a sink is shifted like any token", "remaining_shift",
           lambda shift, sink: shift - 0),
    _fault("ignore_ready", "the pipeline moves on while an output beat waits", "can_move",
           lambda valid, ready: Const(1)),
    Fault(name="skip_reset", block="rescale", why="beats under way survive a reset",
          edit=replace("if (rst) valid_line <=", "if (1'h0) valid_line <=")),
    Fault(name="last_a_stage_early", block="rescale", why="`last` leaves with the beat before its own", set_name="four",
          edit=replace("= {last_line[11], ", "= {last_line[10], ")),
    Fault(name="count_offered_beats", block="rescale", why="events count a waiting beat in every cycle",
          edit=replace("& o__ready;", "& 1'h1;")),
)
