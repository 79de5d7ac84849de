"""Whether no input can tell a mutant from the original: both side by side, and ABC shows that they never differ.

Two copies of a module get the same inputs and begin with the same contents of registers and memories, whatever these
are, and with a cycle of reset, which may come again at any time. In every cycle they must agree on every output. ABC
merges what is equal by induction over runs of any length (`scorr`); the mutant is equivalent if nothing is left that
could differ, or if that is unreachable (`pdr`). First this is tried on the module that was changed, alone, then on the
one around it, and so on to the whole unit. There, and only there, the rules of a stream count: a payload may be
anything while its `valid` is low, the unit is offered beats that stay until they are taken, and nobody looks at it in
the first cycle, that of reset. (What another module reads in that cycle it may keep in a register without reset.)

Large modules that are not mutated may be cut out of the ones around them: what comes out of them is anything, the same
for both copies, and what goes into them must agree in every cycle. But a bit that is constant in the module stays so,
and one that the module never looks at need not agree.

Of a queue whose alarm, `broken`, is proved silent (`stamp-hw verify formal`) the alarm stays low out of reset, and is
not looked at in reset: all that it sets has a reset.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from stamp_hw.errors import ToolError
from tb.formal.solver import NoAnswerError
from tb.mutate.mutation import Mutation
from tb.mutate.netlist import CONTROL, Netlist, made

FIRST, START = "first_cycle", "start_values"  # ports of the core: registers take `START` in the first cycle
CUT = "_cut_"  # in the names of ports where something was cut out, between instance and port
_FLATTEN = """read_rtlil netlist.il
hierarchy -top {top}
{known}{cut}flatten -separator _
{open}memory_map
setundef -undriven -zero
opt_expr
opt_clean
rename {top} core
write_rtlil flat.il
write_verilog -noattr flat.v
"""
# Of every module, what it never looks at and what is constant, told to the ones around it, level by level.
_KNOWN, _LEVELS = "opt_hier\nopt_clean\n", 4
_AIG = """read_rtlil core.il
read_verilog miter.v
hierarchy -top miter
proc
flatten
opt
techmap
opt -fast
dffunmap
aigmap
opt_clean
write_aiger -zinit miter.aig
"""
# ABC comes within Yosys, as the back end of a pass that wants a circuit to work on; what it prints is lost.
_DUMMY = "module dummy(input a, input b, output y); assign y = a & b; endmodule\n"
_ABC = "read_verilog dummy.v\nhierarchy -top dummy\nsimplemap\nabc -script {script}.abc\n"
_MERGE = "read_aiger miter.aig\nscorr\nscorr -F 4\nwrite_aiger merged.aig\n"
_REACH = "read_aiger merged.aig\npdr\nwrite_status status.txt\n"
# Processor time for a step of a proof, so that its outcome does not hang on how busy the machine is.
STEP_SECONDS, _REACH_SECONDS = 100, 15
_CELL = re.compile(r"^  cell \$dff \S+\n.*?^  end\n", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)
# A payload → the `valid` that says whether it matters, and the `ready` that takes it.
_PAYLOADS = ((r"(.+)__payload", r"\1__valid", r"\1__ready"),
             (r"(\w+_axis_\w+_t)(?!valid|ready)\w+", r"\1valid", r"\1ready"),
             (r"(\w+_axil?_(?:aw|w|b|ar|r))(?!valid|ready)\w+", r"\1valid", r"\1ready"))


def equivalent(netlist: Netlist, mutation: Mutation, cut: Callable[[str], bool], alarms: Mapping[str, str],
               seconds: int = STEP_SECONDS) -> str:
    """How a mutant was proved equivalent; empty if it was not. `cut` names the modules to cut out of larger ones,
    `alarms` are modules whose `broken` never rises, and the property that says so; a step may take `seconds`."""
    around = ladder([name.removesuffix(".v") for name in netlist.files], mutation.module, netlist.top)
    for module in around:
        folder = netlist.folder / f"mutant{mutation.number}" / module
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(netlist.folder / "netlist.il", folder)
        without = [name.removesuffix(".v") for name in netlist.files
                   if cut(name.removesuffix(".v")) and name.removesuffix(".v") not in around]
        how = never_differ(folder, module, mutation.number, streams=module == netlist.top, cut=without,
                           alarm=module in alarms, seconds=seconds)
        if how:
            return f"{how}, {module}" + (f", given {alarms[module]}" if module in alarms else "")
    return ""


def ladder(modules: Iterable[str], module: str, top: str) -> list[str]:
    """The module, the one that it is part of, and so on up to `top`: `a_b_c` is a part of `a_b` and of `a`."""
    around = [name for name in modules if module == name or module.startswith(f"{name}_")]
    return list(dict.fromkeys([*sorted(around, key=len, reverse=True), top]))


def never_differ(folder: Path, module: str, number: int, streams: bool, cut: Collection[str] = (),
                 alarm: bool = False, seconds: int = STEP_SECONDS) -> str:
    """How it was proved that `module` of `folder`/netlist.il is the same with and without the mutant; empty if not.

    `streams` says that the rules of streams hold at its ports; the modules `cut` are cut out; with `alarm` its output
    `broken` never rises in the original; a step may take `seconds` of processor time.
    """
    opened = f"expose -evert -sep {CUT} {' '.join(f't:{name}' for name in cut)}\n" if cut else ""
    made(folder, _FLATTEN.format(top=module, cut=f"blackbox {' '.join(cut)}\n" if cut else "", open=opened,
                                 known=_KNOWN * _LEVELS if cut else ""), "flat.v")
    core, bits, clock = with_start_values((folder / "flat.il").read_text("utf-8"))
    (folder / "core.il").write_text(core, encoding="utf-8")
    (folder / "dummy.v").write_text(_DUMMY, encoding="utf-8")
    (folder / "merge.abc").write_text(_MERGE, encoding="utf-8")
    (folder / "reach.abc").write_text(_REACH, encoding="utf-8")
    ports = [(name, flow, int(high or 0) + 1)
             for flow, high, name in _PORT.findall((folder / "flat.v").read_text("utf-8"))]
    (folder / "miter.v").write_text(miter(ports, clock, bits, number, streams, alarm), encoding="utf-8")
    try:
        if never(made(folder, _AIG, "miter.aig", processor=seconds).read_bytes()):
            return "same logic"
    except NoAnswerError:
        return ""
    try:
        if never(made(folder, _ABC.format(script="merge"), "merged.aig", processor=seconds).read_bytes()):
            return "induction"
        status = made(folder, _ABC.format(script="reach"), "status.txt",
                      processor=min(seconds, _REACH_SECONDS)).read_text("utf-8")
    except ToolError:  # out of time or memory
        return ""
    return "reachability" if "UNSAT" in status.split()[0] else ""


def with_start_values(flat: str) -> tuple[str, int, str]:
    """The RTLIL of a flat module whose registers take any given value in the first cycle; bits of it, and the clock."""
    bits, clocks = 0, set()

    def free(match: re.Match[str]) -> str:
        nonlocal bits
        cell = match[0]
        width, output = int(_field(cell, r"parameter \\WIDTH (\d+)")), _field(cell, r"connect \\Q (.*)")
        clocks.add(_field(cell, r"connect \\CLK \\(\w+)"))
        held = f"\\held_{bits}"
        text = (f"  wire width {width} {held}\n" + cell.replace(f"connect \\Q {output}\n", f"connect \\Q {held}\n")
                + f"  cell $mux \\start_{bits}\n    parameter \\WIDTH {width}\n    connect \\A {held}\n"
                f"    connect \\B \\{START} [{bits + width - 1}:{bits}]\n    connect \\S \\{FIRST}\n"
                f"    connect \\Y {output}\n  end\n")
        bits += width
        return text

    text = _CELL.sub(free, flat)
    if "cell $dff" in flat and len(clocks) != 1 or re.search(r"cell \$(?!dff\b)\w*(dff|latch|mem)\w* ", flat):
        raise ToolError("registers of another kind", where="flat.il", got=sorted(clocks))
    head = re.search(r"^module \\core\n", text, re.MULTILINE)
    if head is None:
        raise ToolError("no module", where="flat.il", expected="core")
    ports = f"  wire width {max(bits, 1)} input 9001 \\{START}\n  wire input 9002 \\{FIRST}\n"
    return text[:head.end()] + ports + text[head.end():], max(bits, 1), next(iter(clocks), "")


def _field(cell: str, pattern: str) -> str:
    found = re.search(pattern, cell)
    if found is None:
        raise ToolError("a register that cannot be read", where="flat.il", got=cell[:200], expected=pattern)
    return found[1]


def miter(ports: Sequence[tuple[str, str, int]], clock: str, bits: int, number: int, streams: bool,
          alarm: bool = False) -> str:
    """Verilog of module `miter`, whose output `miter_bad` says that mutant `number` was told from the original."""
    inputs = [(name, width) for name, flow, width in ports if flow == "input" and name not in (CONTROL, clock)]
    outputs = [(name, width) for name, flow, width in ports
               if flow == "output" and not (CUT in name and name.partition(CUT)[2] in (CONTROL, clock))]
    reset = next((name for name, _ in inputs if name in ("rst", "aresetn")), "")
    lines = [f"module miter(input miter_clk, input [{bits - 1}:0] miter_start"]
    lines += [f", input {_range(width)}free_{name}" for name, width in inputs]
    lines += [", output miter_bad);", "  reg miter_started = 0, miter_kept = 1;",
              "  always @(posedge miter_clk) miter_started <= 1;"]
    for name, width in inputs:
        forced = {"rst": " | !miter_started", "aresetn": " & miter_started"}.get(name, "")
        lines.append(f"  wire {_range(width)}{name} = free_{name}{forced};")
    for copy, mutant in (("gold", 0), ("gate", number)):
        lines += [f"  wire {_range(width)}{copy}_{name};" for name, width in outputs]
        pins = [f".{CONTROL}({mutant})", f".{FIRST}(!miter_started)", f".{START}(miter_start)"]
        pins += [f".{clock}(miter_clk)"] * bool(clock)
        pins += [f".{name}({name})" for name, _ in inputs] + [f".{name}({copy}_{name})" for name, _ in outputs]
        lines.append(f"  core {copy}({', '.join(pins)});")
    active = {"rst": "rst", "aresetn": "!aresetn"}.get(reset, "0")
    rules = _rules([name for name, _ in outputs], inputs, active, lines) if streams else []
    held = " && ".join([*rules, *["!gold_broken"] * alarm]) or "1"
    differs = []
    for name, _ in outputs:
        valid, _ready = _stream(name)
        matters = f"gold_{valid} && " if streams and valid in dict(outputs) else ""
        matters += "miter_started && " if streams and CUT not in name else ""
        matters += f"miter_started && !({active}) && " if alarm and name == "broken" else ""
        differs.append(f"({matters}gold_{name} != gate_{name})")
    lines += [f"  wire miter_keeps = miter_kept && ({active} || !miter_started || ({held}));",
              "  always @(posedge miter_clk) miter_kept <= miter_keeps;",
              f"  assign miter_bad = miter_keeps && ({' || '.join(differs)});", "endmodule\n"]
    return "\n".join(lines)


def _rules(outputs: Sequence[str], inputs: Sequence[tuple[str, int]], active: str, lines: list[str]) -> list[str]:
    """Conditions that hold while the inputs keep the streams' rules; what they remember is added to `lines`."""
    rules = []
    for name, width in inputs:
        valid, ready = (name, name[:-5] + "ready") if name.endswith("valid") else _stream(name)
        if valid in dict(inputs) and ready in outputs and CUT not in name:
            lines += [f"  reg {_range(width)}was_{name} = 0; reg waits_{name} = 0;",
                      f"  always @(posedge miter_clk) was_{name} <= {name};",
                      f"  always @(posedge miter_clk) waits_{name} <= {valid} && !gold_{ready} && !({active});"]
            rules.append(f"(!waits_{name} || {name} == was_{name})")
    return rules


def _stream(name: str) -> tuple[str, str]:
    """`valid` and `ready` that belong to a payload; empty for any other port, and where something was cut out."""
    for pattern, valid, ready in _PAYLOADS:
        found = re.fullmatch(pattern, name)
        if found and CUT not in name:
            return found.expand(valid), found.expand(ready)
    return "", ""


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def never(aiger: bytes) -> bool:
    """Whether the one output of a binary AIGER file is the constant 0."""
    head, rest = aiger.split(b"\n", 1)
    latches, outputs = (int(number) for number in head.split()[3:5])
    if outputs != 1:
        raise ToolError("not one output", where="aiger", got=outputs)
    return rest.split(b"\n")[latches] == b"0"
