"""The register map of `stamp_engine_axi` for those who program it: a Markdown document and a C header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from rtl_gen.axi.registers import JOB_PREFIX, Field, Register, events, registers
from stamp_hw.engine.params import EngineParams

TEMPLATES = Path(__file__).parent / "templates"
DOCUMENT, HEADER = "registers.md", "stamp_engine.h"
_ACCESS = {"const": "constant", "ro": "read only", "rw": "read, write", "w1c": "read, write 1 to clear",
           "pulse": "write 1; reads 0"}


def bits(field: Field) -> str:
    """`7:0`, or `3` for one bit."""
    return f"{field.low}" if field.width == 1 else f"{field.low + field.width - 1}:{field.low}"


def document(params: EngineParams) -> str:
    """Text of registers.md: a table of registers, one of the fields of those that have several, one of the events."""
    rows, details = register_tables(registers(params))
    return Template((TEMPLATES / DOCUMENT).read_text(encoding="utf-8")).substitute(
        rows=rows, details=details, events=event_rows(events(params)))


def register_tables(table: Sequence[Register]) -> tuple[str, str]:
    """Rows of a table of registers, and for each that has several fields a section with a table of them."""
    rows, details = [], []
    for register in table:
        whole = register.fields[0] if register.whole else None
        rows.append(f"| 0x{register.offset:03X} | `{register.name}` | {bits(whole) if whole else ''} | "
                    f"{_ACCESS[whole.access] if whole else 'see below'} | 0x{register.reset:X} | "
                    f"{register.description} |")
        if not whole:
            details += [f"## {register.name}, 0x{register.offset:03X}", "", f"{_sentence(register.description)}", "",
                        "| bits | field | access | reset | meaning |", "|---|---|---|---|---|",
                        *(f"| {bits(field)} | `{field.name}` | {_ACCESS[field.access]} | {field.reset} | "
                          f"{field.description} |" for field in register.fields), ""]
    return "\n".join(rows), "\n".join(details).rstrip()


def event_rows(counted: Mapping[str, str]) -> str:
    """Rows of a table of events."""
    return "\n".join(f"| {number} | `{name}` | {text} |" for number, (name, text) in enumerate(counted.items()))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def c_header(params: EngineParams) -> str:
    """Text of stamp_engine.h: offsets, masks and constants as macros, and a struct of the job registers."""
    table = registers(params)
    lines = macros(table, events(params), "STAMP_ENGINE")
    jobs = [register for register in table if register.name.startswith(JOB_PREFIX)]
    return Template((TEMPLATES / HEADER).read_text(encoding="utf-8")).substitute(
        macros="\n".join(lines), members="\n".join(_members(jobs)), writes="\n".join(
            f"  base[STAMP_ENGINE_{job.name} / 4u] = job->{c_member(job)};" for job in jobs))


def macros(table: Sequence[Register], counted: Mapping[str, str], prefix: str) -> list[str]:
    """Macros of C, whose names begin with a prefix: offsets, masks and constants of registers, numbers of events."""
    lines: list[str] = []
    for register in table:
        lines.append(f"#define {prefix}_{register.name} 0x{register.offset:03X}u /* {register.description} */")
        lines += _field_macros(register, prefix)
    for number, (name, text) in enumerate(counted.items()):
        lines.append(f"#define {prefix}_EVENT_{name.upper()} {number}u /* {text} */")
    return lines


def _field_macros(register: Register, prefix: str) -> list[str]:
    """A mask a field; a constant's value."""
    lines = []
    for field in register.fields:
        name = f"{prefix}_{register.name}" + ("" if register.whole else f"_{field.name.upper()}")
        if field.access == "const":
            lines.append(f"#define {name}_VALUE 0x{field.reset:X}u")
        else:
            lines.append(f"#define {name}_MASK 0x{field.mask:08X}u")
    return lines


def c_member(register: Register) -> str:
    """Name of a job register in the struct `stamp_engine_job`."""
    return register.name.removeprefix(JOB_PREFIX).lower()


def _members(jobs: Sequence[Register]) -> list[str]:
    return [f"  uint32_t {c_member(job)}; /* {job.description} */" for job in jobs]
