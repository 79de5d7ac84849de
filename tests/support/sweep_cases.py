"""Sweeps that the tests share: a small one of one layer, run from the command line, and its points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stamp_hw.cli.main import main

#: 36 points, 3 of them with a buffer too small for a Haar tile.
SMALL = """\
base: {hw: {rows: 4, cols: 4, lanes: 8, max_k: 128, max_tokens: 256, act_slots: 64}}
workload: {tokens: 256, k: 96, n: 40}
schemes: [a4, stamp]
together:
  - {hw.rows: [4, 8, 16], hw.cols: [4, 8, 16]}
axes:
  hw.act_slots: {from: 16, to: 128, times: 2}
  workload.k: [64, 96, 200]
objectives: [cycles, energy_fj, pes]
"""


def write(folder: Path, text: str = SMALL, name: str = "small.yaml") -> Path:
    """A sweep's file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def swept(sweep: Path, out: Path, *options: str, code: int = 0) -> list[dict[str, Any]]:
    """The points of a sweep, from the command line."""
    assert main(["sweep", str(sweep), "--out", str(out), *(options or ("--jobs", "1"))]) == code
    return points(out)


def points(out: Path) -> list[dict[str, Any]]:
    """The points of a finished sweep, as they are in its file."""
    _, *lines = out.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
