"""Two small configurations, and the top modules, that the tests of generation, lint and synthesis share."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from rtl_gen.delivery.generate import generate
from rtl_gen.tops import units
from stamp_hw.config import NpuConfig

SMALL = NpuConfig().with_hw(rows=2, cols=4, lanes=3, rescale_lanes=2, max_k=64, max_tokens=100, max_levels=6)
LINE = NpuConfig().with_hw(rows=3, cols=3, lanes=2, rescale_lanes=3, axes=1, max_k=50, max_tokens=64, max_levels=3,
                           mul_stages=1, act_slots=64)
MODULES = [unit.module for unit in units()]
WITH_VECTORS = [unit.module for unit in units() if unit.inside is None]


@cache
def generated(config: NpuConfig, *, blocks: bool = False, vectors: bool = False) -> dict[str, str]:
    """`generate`, once for each configuration; callers leave the result as it is."""
    return generate(config, blocks=blocks, vectors=vectors)


STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compiled(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Compile and run a C program that includes what lies in the folder; the compiler's result where it refuses."""
    (folder / "main.c").write_text("#include <stdio.h>\n#include <string.h>\n" + body)
    done = subprocess.run(["g++", "-x", "c", *STRICT, "main.c", "-o", "main"], cwd=folder, capture_output=True,
                          text=True, check=False)
    return done if done.returncode else subprocess.run([folder / "main"], capture_output=True, text=True, check=False)
