"""The memories that are declared in generated Verilog, and counters of what their ports do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: Module and name of a memory in the Verilog → its name in `sim.banks`; `{}` stands for what the pattern holds.
NAMES = {
    r"stamp_engine_front_hadamard_beats(\d+) store": "hadamard_level{}",
    r"stamp_engine_front_haar (wait|even|odd|cross)_?": "lifting_{}",
    r"stamp_engine_front_scale ring": "ring_buffer",
    r"stamp_engine_acts (low|high)\d+": "activation_{}",
    r"stamp_engine_weights words": "weight_buffer",
    r"stamp_engine_drain factors\d+": "factor_buffer",
    r"stamp_engine_back_send bias\d+": "bias_buffer",
    r"stamp_engine_scales half\d": "scale_buffer",
    r"stamp_engine_spans half\d": "span_buffer",
    r"stamp_combine_column bank\d": "combine_banks",
    r"stamp_engine_back_buffer half\d": "output_buffer",
    r"stamp_engine_back_inverse (wait|even|odd|cross)_?": "inverse_{}",
}
_DECLARED = re.compile(r"^ *(?:\(\*.*\*\) *)?reg \[(\d+):0\] (\w+) \[0:(\d+)\];$", re.M)
_READ = r"^ *if \((.*)\) \w+ <= {}\[[^;]*\];$"
_ALWAYS_READ = r"^ *\w+ <= {}\[[^;]*\];$"
_WRITTEN = r"^ *if \((.*)\) {}\[[^;]*\] <= [^;]*;$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A memory of a module: its name in `sim.banks`, bits of a word, words; the enables of its read ports, "1" where a
    port reads in every cycle, and of its write ports."""

    name: str
    bits: int
    words: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def named(module: str, memory: str) -> str:
    """What `sim.banks` calls a memory of the Verilog."""
    for pattern, name in NAMES.items():
        if match := re.fullmatch(pattern, f"{module} {memory}"):
            return name.format(*match.groups())
    raise AssertionError(f"{module}: a memory {memory} that sim.banks does not list")


def declared(module: str, text: str) -> Iterator[Declared]:
    """The memories of one module."""
    for high, memory, last in _DECLARED.findall(text):
        found = {kind: re.findall(pattern.format(memory), text, re.M)
                 for kind, pattern in (("reads", _READ), ("always", _ALWAYS_READ), ("writes", _WRITTEN))}
        yield Declared(name=named(module, memory), bits=int(high) + 1, words=int(last) + 1,
                       reads=(*found["reads"], *("1" for _ in found["always"])), writes=tuple(found["writes"]))


def instances(files: Mapping[str, str], top: str) -> Counter[str]:
    """Module → how often the design holds it."""
    found: Counter[str] = Counter({top: 1})
    for module in re.findall(r"^ *(\w+) \w+ \($", files[f"{top}.v"], re.M):
        if f"{module}.v" in files:
            found.update(instances(files, module))
    return found


def counting(files: dict[str, str]) -> dict[str, str]:
    """The files with a counter at every port of every memory, which the simulation tells at its end: `ACCESSES name
    read|written count`."""
    return {file: text.replace("\nendmodule", "\n" + "".join(
        f"  integer count_{number} = 0;\n"
        f"  always @(posedge clk) if ({enable}) count_{number} <= count_{number} + 1;\n"
        f'  final $display("ACCESSES {name} {kind} %0d", count_{number});\n'
        for number, (name, kind, enable) in enumerate(_ports(file.removesuffix(".v"), text))) + "endmodule")
        for file, text in files.items()}


def _ports(module: str, text: str) -> Iterator[tuple[str, str, str]]:
    for one in declared(module, text):
        yield from ((one.name, "read", enable) for enable in one.reads)
        yield from ((one.name, "written", enable) for enable in one.writes)


def counted(log: str) -> Counter[tuple[str, str]]:
    """(Name, "read" or "written") → accesses of all banks, from a simulation's output."""
    found: Counter[tuple[str, str]] = Counter()
    for name, kind, count in re.findall(r"ACCESSES (\w+) (read|written) (\d+)", log):
        found[name, kind] += int(count)
    return found
