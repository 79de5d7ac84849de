"""The first block of a prefill chained for real: every layer's input is made of the words that the RTL gave for the
layers before it; the host does norms, attention and activation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.formats.trace import Trace
from tb.prefill.host import Host
from tb.prefill.pieces import BLOCK_0, Piece, offer
from tb.prefill.play import Engine
from tb.prefill.results import FILE, SUMS, good, read


def chain(host: Host, engine: Engine, folder: Path) -> dict[str, Any]:
    """Sums over the block's layers, and how many of the inputs, that of the layer behind the block among them, are
    those in `folder`, where the golden model is chained. Ends at the first layer in which the RTL differs.

    Raises HostError as `Host.asking`, and BrokenBenchError where a simulator broke.
    """
    found: dict[str, Any] = {"layers": 0, **dict.fromkeys(SUMS, 0), "inputs": 0, "equal_inputs": 0, "failures": []}
    with tempfile.TemporaryDirectory(dir=folder, prefix="chain.") as room, host.asking(Path(room), BLOCK_0) as asked:
        for number, request in enumerate(asked.requests()):
            name = request["layer"]
            found["inputs"] += 1
            if _same_input(Path(request["trace"]), folder / f"{name}.safetensors", name):
                found["equal_inputs"] += 1
            else:
                found["failures"].append(f"{name}: its input is not that of the chained golden model")
            if not request["wanted"]:
                continue
            words = Path(room) / f"{name}.npy"
            line = _played(engine, name, Path(request["trace"]), Path(room) / f"job{number}", words)
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


def _played(engine: Engine, name: str, trace: Path, room: Path, words: Path) -> Mapping[str, Any]:
    """One layer through the RTL, which leaves its words."""
    with Trace(trace) as file:
        layer = file.layer(name)
    piece = Piece(layer=name, kind=layer.kind, tokens=len(layer.x), k=layer.x.shape[1], first=0,
                  channels=len(layer.weight), trace=str(trace), words=None)
    room.mkdir()
    offer([piece], room / "queue")
    engine.run(room / "queue", room / FILE, words)
    (line,) = read(room / FILE)
    return line
