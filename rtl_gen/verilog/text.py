"""Text of Verilog expressions: when one needs parentheses, how a constant is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Of Verilog and SystemVerilog (IEEE 1800-2017, Annex B).
_KEYWORDS = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
endpackage endprimitive endprogram endproperty endspecify endsequence endtable endtask enum event eventually expect
export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global highz0
highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input inside
instance int integer interconnect interface intersect join join_any join_none large let liblist library local
localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small
soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on
sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand
trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void
wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
KEYWORDS = frozenset(_KEYWORDS.split())
ATOM, UNARY, BINARY, TERNARY = range(4)
CHAINS = ("&", "|", "^", "+")


@dataclass(frozen=True, slots=True)
class Expr:
    """Text of an expression; `kind` says when it needs parentheses, `operator` its own."""

    text: str
    kind: int = ATOM
    operator: str = ""


def inside(expr: Expr, operator: str = "") -> str:
    """The expression as an operand of `operator`; "unary" stands for all of those."""
    if expr.kind == ATOM or (expr.kind == UNARY and operator != "unary"):
        return expr.text
    if operator in CHAINS and expr.operator == operator:
        return expr.text
    return f"({expr.text})"


def inverted(expr: Expr) -> Expr:
    """The opposite of one bit."""
    return Expr(f"~{inside(expr, 'unary')}", UNARY)


def both(left: Expr, operator: str, right: Expr) -> Expr:
    """An operation of two bits."""
    return Expr(f"{inside(left, operator)} {operator} {inside(right, operator)}", BINARY, operator)


def ternary(test: Expr, yes: Expr, no: Expr) -> Expr:
    """test ? yes : no."""
    if yes.text == no.text or test.text == "1'b1":
        return yes
    if (yes.text, no.text) == ("1'b1", "1'b0"):
        return test
    if (yes.text, no.text) == ("1'b0", "1'b1"):
        return inverted(test)
    for value, operator in ((no, "&"), (yes, "|")):  # of one bit: what the other one is decides
        if value.text == {"&": "1'b0", "|": "1'b1"}[operator]:
            return both(test, operator, yes if value is no else no)
    for value, operator in ((yes, "&"), (no, "|")):
        if value.text == {"&": "1'b0", "|": "1'b1"}[operator]:
            return both(inverted(test), operator, no if value is yes else yes)
    return Expr(f"{inside(test)} ? {inside(yes)} : {no.text}", TERNARY)


def constant(value: int, width: int) -> str:
    """A sized constant: decimal where it is a number, hexadecimal where it is a pattern."""
    if width == 1:
        return f"1'b{value}"
    if value == (1 << width) - 1 and width > 4:
        return f"{width}'h{value:x}" if width <= 32 else f"{{{width}{{1'b1}}}}"
    return f"{width}'d{value}" if value < 1 << 16 else f"{width}'h{value:x}"


def concatenation(parts: list[str]) -> Expr:
    """Pieces from the lowest bit up, side by side."""
    if len(parts) == 1:
        return Expr(parts[0])
    return Expr("{" + ", ".join(reversed(parts)) + "}", operator="concatenation")


def bare(expr: Expr) -> str:
    """The expression inside a concatenation, of which it needs none of its own."""
    return expr.text[1:-1] if expr.operator == "concatenation" else expr.text


def legal(name: str) -> str:
    """A plain identifier for a name of Amaranth's."""
    name = re.sub(r"\$\d*$", "", name)
    name = re.sub(r"\W+", "_", name).strip("_") or "signal"
    if name[0].isdigit():
        name = f"n{name}"
    return f"{name}_" if name in KEYWORDS else name
