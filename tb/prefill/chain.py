"""The first block of a prefill chained for real: every layer's input is made of the words that the RTL gave for the
layers before it; the host does norms, attention and activation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.formats.trace import Trace
from tb.prefill.host import Host
from tb.prefill.pieces import BLOCK_0, Piece
from tb.prefill.play import Engine, one_by_one
from tb.prefill.results import SUMS, good


def chain(host: Host, engine: Engine, folder: Path) -> dict[str, Any]:
    """Sums over the block's layers, and how many of the inputs, that of the layer behind the block among them, are
    those in `folder`, where the golden model is chained. Ends at the first layer in which the RTL differs.

    Raises HostError as `Host.asking`, and BrokenBenchError where a simulator broke.
    """
    found: dict[str, Any] = {"layers": 0, **dict.fromkeys(SUMS, 0), "inputs": 0, "equal_inputs": 0, "failures": []}
    with (tempfile.TemporaryDirectory(dir=folder, prefix="chain.") as room, host.asking(Path(room), BLOCK_0) as asked,
          one_by_one(engine, Path(room)) as played):
        for request in asked.requests():
            name, trace = request["layer"], Path(request["trace"])
            found["inputs"] += 1
            if _same_input(trace, folder / trace.name, name):
                found["equal_inputs"] += 1
            else:
                found["failures"].append(f"{name}: its input is not that of the chained golden model")
            if not request["wanted"]:
                continue
            line, words = played(_whole(name, trace))
            found["layers"] += 1
            for key in SUMS:
                found[key] += line[key]
            if not good(line):
                found["failures"].append(f"{name}: {line['failure'] or 'nothing compared'}")
                break
            asked.answer(words)
    return found


def _same_input(one: Path, other: Path, name: str) -> bool:
    """Whether two traces have the same input of a layer, to the bit."""
    with Trace(one) as first, Trace(other) as second:
        return bool(np.array_equal(first.layer(name).x, second.layer(name).x))


def _whole(name: str, trace: Path) -> Piece:
    """The job of all of a layer; what it must give is left to the golden model, on the input that it has here."""
    with Trace(trace) as file:
        layer = file.layer(name)
    return Piece(layer=name, kind=layer.kind, tokens=len(layer.x), k=layer.x.shape[1], first=0,
                 channels=len(layer.weight), trace=str(trace), words=None)
