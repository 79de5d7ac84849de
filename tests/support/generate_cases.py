"""What tests of generation, lint and synthesis share: two small configurations, the tops, running what is written."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from rtl_gen.delivery.generate import generate
from rtl_gen.delivery.prefix import PREFIX
from rtl_gen.toolchain import verilator_env
from rtl_gen.tops import units
from stamp_hw.config import NpuConfig

SMALL = NpuConfig().with_hw(rows=2, cols=4, lanes=3, rescale_lanes=2, max_k=64, max_tokens=100, max_levels=6)
LINE = NpuConfig().with_hw(rows=3, cols=3, lanes=2, rescale_lanes=3, axes=1, max_k=50, max_tokens=64, max_levels=3,
                           mul_stages=1, act_slots=64, packed_weights=True)
BLOCKED = NpuConfig().with_hw(rows=2, cols=4, lanes=4, rescale_lanes=2, max_k=64, max_tokens=100, max_levels=6,
                              act_slots=64, block=32)
BUSSED = SMALL.with_hw(bus_width=64)  # with a DMA
ROTATED = LINE.with_hw(lanes=4, max_k=48, hadamard=16)  # with the Hadamard unit, which the others have not
PADDED = SMALL.with_hw(pad_beats=True)  # beats of 6 bytes are of 8 behind AXI
MODULES = [unit.module for unit in units(hw=SMALL.hw)]
WITH_VECTORS = [unit.module for unit in units(hw=SMALL.hw) if unit.inside is None]
OF_BLOCKS = [unit.module for unit in units() if unit.key == "block" and unit.is_built(BLOCKED.hw)]


@cache
def generated(config: NpuConfig, *, blocks: bool = False, vectors: bool = False, prefix: str = PREFIX
              ) -> dict[str, str]:
    """`generate`, once for each configuration; callers leave the result as it is."""
    return generate(config, blocks=blocks, vectors=vectors, prefix=prefix)


def build(folder: Path, module: str, objects: Path, *sources: str) -> None:
    """What the head of each testbench says, without optimization."""
    command = ["verilator", "--cc", "--exe", "--build", "-Wno-fatal", "--timescale", "1ns/1ps", "--Mdir", str(objects),
               "--prefix", "Vtb", "--top-module", f"tb_{module}", "-MAKEFLAGS",
               "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0", "main.cpp", f"tb_{module}.v", *sources]
    done = subprocess.run(command, cwd=folder, env=verilator_env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def simulate(objects: Path, folder: Path) -> tuple[int, str]:
    """Exit code and output of a testbench run in a folder of vectors."""
    done = subprocess.run([objects / "Vtb"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compiled(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Compile and run a C program that includes what lies in the folder; the compiler's result where it refuses."""
    (folder / "main.c").write_text("#include <stdio.h>\n#include <string.h>\n" + body)
    done = subprocess.run(["g++", "-x", "c", *STRICT, "main.c", "-o", "main"], cwd=folder, capture_output=True,
                          text=True, check=False)
    return done if done.returncode else subprocess.run([folder / "main"], capture_output=True, text=True, check=False)


def contents(out: Path) -> dict[str, str]:
    """Name → text of every file below a folder."""
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
