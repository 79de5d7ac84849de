"""One mutation of a netlist: read from the list that Yosys writes, and named so that a person finds it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stamp_hw.errors import ToolError
from tb.coverage.points import expanded_lines

MODES = {"inv": "inverted", "const0": "stuck at 0", "const1": "stuck at 1", "cnot0": "inverted while bit {} is 0",
         "cnot1": "inverted while bit {} is 1"}
_OPTION = re.compile(r"-(\w+) (.*?)(?= -[a-z]+ |$)")
_SOURCE = re.compile(r"(\w+)\.v:(\d+)\.\d+-(\d+)\.\d+")
_KIND = re.compile(r"\$(?:auto\$)?(?:proc(?=mux|dff|_memwr))?_?([a-z]+)")
_TEXT = 160  # characters of a source line that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """What Yosys changes: bit `portbit` of `port` of `cell` in `module`, by `mode`, one of MODES.

    `number` selects it at run time, from 1 on. `wire` is the bit's name, empty if it has none; `file`, `line` and
    `text` are the statement it comes from, in which generated names are replaced by what they stand for.
    """

    number: int
    module: str
    mode: str
    cell: str
    port: str
    portbit: int
    ctrlbit: int
    wire: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        kind = _KIND.match(self.cell)
        place = f"port {self.port}[{self.portbit}] of {kind[1] if kind else self.cell}"
        named = f" ({self.wire})" if self.wire else ""
        how = MODES[self.mode].format(self.ctrlbit)
        return f"{self.module}: {place}{named} {how}, {self.file}:{self.line}: {self.text}"

    def command(self, control: str, width: int) -> str:
        """The line of a script that applies it where `control` has its number."""
        second = f" -ctrlbit {self.ctrlbit}" if self.ctrlbit >= 0 else ""
        return (f"mutate -ctrl {control} {width} {self.number} -mode {self.mode} -module {self.module} "
                f"-cell {self.cell} -port {self.port} -portbit {self.portbit}{second}\n")


def parse(listed: str, files: Mapping[str, str], count: int) -> Iterator[Mutation]:
    """The first `count` mutations of a list by `mutate -list` that change no clock; `files` is file name → Verilog.

    Raises ToolError for one that cannot be read.
    """
    lines = {name: expanded_lines(text) for name, text in files.items()}
    number = 1
    for row in listed.splitlines():
        options: dict[str, list[str]] = {}
        for key, value in _OPTION.findall(row.removeprefix("mutate ")):
            options.setdefault(key, []).append(value)
        try:
            if number > count or options["port"][0].lower().endswith("clk"):
                continue
            file, line, text = _statement(options.get("src", [""])[-1], options["module"][0], lines)
            yield Mutation(number=number, module=options["module"][0], mode=options["mode"][0],
                           cell=options["cell"][0], port=options["port"][0], portbit=int(options["portbit"][0]),
                           ctrlbit=int(options.get("ctrlbit", ["-1"])[0]), file=file, line=line, text=text,
                           wire=f"{options['wire'][0]}[{options['wirebit'][0]}]" if "wire" in options else "")
        except (KeyError, IndexError, ValueError) as error:
            raise ToolError("a mutation that cannot be read", where="yosys", got=row) from error
        number += 1


def _statement(source: str, module: str, lines: Mapping[str, list[str]]) -> tuple[str, int, str]:
    """File, line and text of a statement; of an `always` block it is the first line inside."""
    found = _SOURCE.match(source)
    if found is None:
        return f"{module}.v", 0, ""
    file, first, last = f"{found[1]}.v", int(found[2]), int(found[3])
    if lines[file][first - 1].startswith("always") and last > first:
        first += 1
    text = lines[file][first - 1]
    return file, first, text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
