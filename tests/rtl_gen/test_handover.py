"""What a user gets beside the Verilog: register map, C header, Vivado files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtl_gen.axi.registers import registers
from rtl_gen.delivery import generate as generator
from rtl_gen.delivery import handover
from rtl_gen.delivery.handover_registers import bits
from stamp_hw.config import NpuConfig
from stamp_hw.engine.params import EngineParams
from tests.support.generate_cases import LINE, SMALL, compiled, generated

CONFIGS = {"small": SMALL, "line": LINE}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> NpuConfig:
    return CONFIGS[request.param]


def beside(config: NpuConfig) -> dict[str, str]:
    """The files of `rtl_gen.delivery.handover` alone."""
    return handover.files(config.hw, ["stamp_engine_axi.v"], "waivers.vlt")


# --- registers -------------------------------------------------------------------------------------------------------


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table; the second one is in backquotes."""
    found = [cell.strip() for cell in line.strip("|").split("|")]
    assert re.fullmatch(r"`\w+`", found[1])
    return [found[0], found[1].strip("`"), *found[2:]]


def test_the_document_has_every_register_and_every_field(config: NpuConfig) -> None:
    text = beside(config)["registers.md"]
    overview, *details = text.split("\n## ")
    rows = [cells(line) for line in overview.splitlines() if line.startswith("| 0x")]
    table = registers(EngineParams.of(config.hw))
    assert [(int(row[0], 16), row[1], int(row[4], 16), row[5]) for row in rows] == [
        (register.offset, register.name, register.reset, register.description) for register in table]
    sections = {part.split(",")[0]: part for part in details}
    for register, row in zip(table, rows, strict=True):
        if len(register.fields) == 1 and register.fields[0].name == "value":
            assert row[2] == bits(register.fields[0]) and register.name not in sections
        else:
            found = [cells(line) for line in sections[register.name].splitlines() if re.match(r"\| \d", line)]
            assert [(row[0], row[1], row[4]) for row in found] == [
                (bits(field), field.name, field.description) for field in register.fields]


def test_the_header_compiles_and_writes_each_job_register_at_its_offset(config: NpuConfig, tmp_path: Path) -> None:
    header = beside(config)["stamp_engine.h"]
    (tmp_path / "stamp_engine.h").write_text(header)
    table = registers(EngineParams.of(config.hw))
    jobs = [register for register in table if register.name.startswith("JOB_")]
    values = ", ".join(str(100 + index) for index in range(len(jobs)))
    names = re.findall(r"#define (STAMP_ENGINE_\w+) ", header)
    shown = "".join(f'  printf("{name} %lu\\n", (unsigned long){name});\n' for name in names)
    done = compiled(tmp_path, '#include "stamp_engine.h"\nint main(void) {\n  static uint32_t map[1024];\n'
                    f"  const stamp_engine_job job = {{{values}}};\n  unsigned at;\n{shown}"
                    "  stamp_engine_start(map, &job);\n"
                    '  for (at = 0; at < 1024; at++) if (map[at]) printf("%u %u\\n", at * 4, map[at]);\n'
                    "  return 0;\n}\n")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split() for line in done.stdout.splitlines())
    written = {int(key): int(value) for key, value in lines.items() if key.isdigit()}
    start = next(register for register in table if register.name == "START")
    assert written == {job.offset: 100 + index for index, job in enumerate(jobs)} | {start.offset: 1}
    for register in table:
        assert int(lines[f"STAMP_ENGINE_{register.name}"]) == register.offset
        for field in register.fields:
            name = f"STAMP_ENGINE_{register.name}" + ("" if field.name == "value" else f"_{field.name.upper()}")
            constant = field.access == "const"
            assert int(lines[f"{name}_{'VALUE' if constant else 'MASK'}"]) == (field.reset if constant else field.mask)


# --- Vivado ----------------------------------------------------------------------------------------------------------


def test_the_vivado_files_say_that_they_are_untested_and_are_whole(tmp_path: Path) -> None:
    """Run by plain Tcl, Vivado's own commands replaced by notes of their arguments: it says nothing about Vivado."""
    tkinter = pytest.importorskip("tkinter")
    files = generated(LINE)
    generator.write(tmp_path / "rtl", files)
    tcl = tkinter.Tcl()
    for name in ("read_verilog", "read_xdc", "synth_design", "opt_design", "place_design", "route_design",
                 "report_utilization", "report_timing_summary", "create_clock", "get_ports"):
        tcl.eval(f'proc {name} args {{ lappend ::notes "{name} $args"; return [lindex $args end] }}')
    tcl.eval("set argc 1; set argv {some-part}; set notes {}")
    tcl.call("source", str(tmp_path / "rtl" / handover.SCRIPT))
    tcl.call("source", str(tmp_path / "rtl" / handover.CONSTRAINTS))
    notes = tcl.splitlist(tcl.eval("set notes"))
    read = [Path(note.split()[1]).name for note in notes if note.startswith("read_verilog")]
    assert read == files["files.f"].split()
    assert any("-top stamp_engine_axi -part some-part" in note for note in notes)
    period = 1e9 / LINE.hw.freq_hz
    assert f"create_clock -name aclk -period {period:.3f} aclk" in notes
    assert all("UNTESTED" in files[name] for name in (handover.SCRIPT, handover.CONSTRAINTS))
