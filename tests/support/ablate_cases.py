"""Traces and reports that the tests of `stamp-hw ablate` share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.formats.trace import TraceWriter
from tests.support.commands import command
from tests.support.simulate_cases import ar1

Row = dict[str, Any]
LAYERS = ("model.layers.0.q", "model.layers.0.down", "model.layers.1.q", "model.layers.1.down")


def run(*argv: object) -> int:
    """The command, without the program around it."""
    return command("ablate", *argv)


def document(folder: Path, trace: Path, *argv: object) -> dict[str, Any]:
    path = folder / "report.json"
    assert run(trace, "--json", path, *argv) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


def row(report: dict[str, Any], transform: str, feature: str = "none", *, high: bool = True, levels: int | None = None,
        shuffled: bool = False, sinks: str | None = None) -> Row:
    """The one row of these keys."""
    wanted = (transform, feature, high, shuffled)
    found = [each for each in report["rows"] if levels in (None, each["levels"]) and sinks in (None, each["sinks"])
             and tuple(each[key] for key in ("transform", "feature", "high", "shuffled")) == wanted]
    assert len(found) == 1, (transform, feature, len(found))
    return dict(found[0])


def fits(trace: list[Path]) -> list[object]:
    """As options."""
    return [part for path in trace for part in ("--fit", path)]


def picture(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    """Tokens in raster order, correlated by 0.9 with each neighbour to the left and above."""
    x = rng.standard_normal((height, width, channels))
    for row in range(1, height):
        x[row] = 0.9 * x[row - 1] + np.sqrt(1 - 0.9**2) * x[row]
    for column in range(1, width):
        x[:, column] = 0.9 * x[:, column - 1] + np.sqrt(1 - 0.9**2) * x[:, column]
    return x.reshape(height * width, channels)


def write_grid(path: Path, seed: int, grid: tuple[int, int] = (16, 16), names: tuple[str, ...] = ("block",),
               plain: bool = False) -> Path:
    """A trace of layers over a smooth picture, all of the same weights; `plain` adds one not to be transformed."""
    rng = np.random.default_rng(seed)
    weight = np.random.default_rng(1).standard_normal((12, 24)).astype(np.float32)
    height, width = grid
    with TraceWriter(path, {"model": "toy"}) as writer:
        for name in names:
            writer.add_input(name, picture(rng, height, width, 24), "float32")
            writer.add_layer(name=name, kind="q", input_key=name, weight=weight, grid=grid, dtype="float32")
        if plain:
            writer.add_input("text", ar1(rng, 20, 24), "float32")
            writer.add_layer(name="text", kind="k", input_key="text", weight=weight, transform=False, dtype="float32")
    return path
