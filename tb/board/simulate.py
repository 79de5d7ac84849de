"""Builds a board's top with Verilator, and runs it to the last byte on its serial line."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl_gen import toolchain
from stamp_hw.errors import BuildError
from tb.run.simulator import BUILD_ROOT, FLAGS, LONG_RUN

SOURCE = Path(__file__).with_name("main.cpp")
RUNNING, PASSED, FAILED = 1, 2, 3  # lamps


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`text` on the serial line, cycles of the whole, bits of the lamps at the end, bytes that were no bytes; `ended`
    says that the test came to its end."""

    text: str
    cycles: int
    led: int
    framing: int
    ended: bool

    @property
    def passed(self) -> bool:
        """Whether the lamp says so, and the other one does not."""
        return self.ended and self.led >> PASSED & 1 == 1 and self.led >> FAILED & 1 == 0 and not self.framing


def build(files: Mapping[str, str], top: str) -> Path:
    """The program of these modules; kept, under a digest of what it is made from. Raises BuildError, ToolError."""
    env, tool = toolchain.verilator_env(), toolchain.verilator()[0]
    options = [*FLAGS, "-Wno-lint", "--timescale", "1ns/1ps", "--top-module", top, "--prefix", "Vtop"]
    key = json.dumps([options, LONG_RUN, tool.version, SOURCE.read_text("utf-8"), dict(files)])
    kept = BUILD_ROOT / "rtl" / f"board-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, "utf-8")
        verilate = [tool.path, "-cc", "--exe", "-Mdir", folder, *options, SOURCE, *(folder / file for file in files)]
        make = ["make", "-C", folder, "-f", "Vtop.mk", "-j", "2", *LONG_RUN.split()]
        for command in (verilate, make):
            done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                toolchain.check_memory("verilator", done.stderr)
                lines = [line for line in done.stderr.splitlines() if "rror" in line]
                raise BuildError(f"build of {top} failed", where="verilator", got=lines[0] if lines else "no reason")
        (folder / "Vtop").rename(kept)
    return kept


def run(program: Path, memories: Mapping[str, str], bit: float, *, runs: int = 1, limit: int = 100_000_000) -> Seen:
    """Run it with these memories' files.

    Parameters
    ----------
    bit : cycles of a bit on the serial line, as the receiver counts them
    runs : of the test, the button pressed in between
    limit : cycles after which to give up

    Raises BuildError where the program itself breaks.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in memories.items():
            (Path(folder) / name).write_text(text, "ascii")
        done = subprocess.run([str(program), repr(bit), str(runs), str(limit)], cwd=folder, capture_output=True,
                              check=False)
    told = done.stderr.decode("utf-8", "replace").split()[-3:]
    if len(told) != 3 or not all(word.isdigit() for word in told):
        raise BuildError("the simulation broke", where=program.name,
                         got=" ".join(told) or f"exit code {done.returncode}")
    cycles, led, framing = map(int, told)
    return Seen(text=done.stdout.decode("latin-1"), cycles=cycles, led=led, framing=framing,
                ended=done.returncode == 0)
