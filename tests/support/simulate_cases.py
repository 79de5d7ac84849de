"""Traces and reports that the tests of `stamp-hw simulate` share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.formats.trace import TraceWriter
from tests.support.commands import command

TOKENS, WIDE, NARROW = 256, 96, 40


def ar1(rng: np.random.Generator, tokens: int, channels: int) -> np.ndarray:
    """Correlated tokens with channels of different size: what the transform is made for."""
    x = rng.standard_normal((tokens, channels))
    for token in range(1, tokens):
        x[token] = 0.95 * x[token - 1] + np.sqrt(1 - 0.95**2) * x[token]
    return (x * np.exp(0.8 * rng.standard_normal(channels))).astype(np.float32)


def write_trace(path: Path, change: dict[str, Any] | None = None) -> Path:
    """A trace of four layers; `change` maps a layer to a function of its input."""
    rng = np.random.default_rng(5)
    with TraceWriter(path, {"model": "toy", "calibration": "self"}) as writer:
        for name, k, n in (("model.layers.0.q", WIDE, 64), ("model.layers.0.down", NARROW, WIDE),
                           ("model.layers.1.q", WIDE, 64), ("model.layers.1.down", NARROW, WIDE)):
            x = ar1(rng, TOKENS, k)
            writer.add_input(name, (change or {}).get(name, lambda same: same)(x), "float32")
            writer.add_layer(name=name, kind=name[-4:], input_key=name, dtype="float32",
                             weight=rng.standard_normal((n, k)).astype(np.float32), bias=rng.standard_normal(n))
    return path


def run(*argv: object) -> int:
    """The command, without the program around it."""
    return command("simulate", *argv)


def document(folder: Path, trace: Path, *argv: object) -> dict[str, Any]:
    path = folder / "report.json"
    assert run(trace, "--json", path, *argv) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


def write_one(path: Path, x: np.ndarray, name: str = "one", origin: dict[str, Any] | None = None,
              **entry: Any) -> Path:
    """A trace of one layer of 8 output channels."""
    weight = np.random.default_rng(3).standard_normal((8, x.shape[1]))
    with TraceWriter(path, origin or {}) as writer:
        writer.add_input("x", x.astype(np.float32), "float32")
        writer.add_layer(name=name, kind="q", input_key="x", weight=weight, **entry)
    return path
