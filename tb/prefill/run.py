"""The whole prefill of a model through the RTL: the host's run, a chained block, every layer; resumable job by job."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb.prefill.chain import chain
from tb.prefill.host import Host
from tb.prefill.pieces import BLOCK_0, Piece, of_index, run_digest
from tb.prefill.play import Engine, Progress, duration, play
from tb.prefill.results import FILE, SECONDS, SUMS, by_layer, good, read, wall_seconds
from tb.run.fault import Fault

_CHAIN = "chain.json"


@dataclass(slots=True)
class Found:
    """What a run has found so far, of it and of earlier starts: `index` of the host, `pieces` all jobs that are wanted,
    `lines` their results, `chained` the sums over the first block, None where that is not wanted or not yet there.
    """

    host: Host
    index: dict[str, Any]
    run: str
    pieces: Sequence[Piece]
    lines: list[dict[str, Any]]
    chained: dict[str, Any] | None = None

    @property
    def chains(self) -> bool:
        """The first block is wanted as a whole."""
        block = {name for name in self.index["model_layers"] if re.search(BLOCK_0, name)}
        return bool(block) and block <= {piece.layer for piece in self.pieces}

    @property
    def whole(self) -> bool:
        """Every job that is wanted has a result."""
        return {piece.key for piece in self.pieces} <= {line["key"] for line in self.lines}

    @property
    def failures(self) -> list[str]:
        """What is wrong, a line each."""
        found = [f"{line['layer']}: {line['failure'] or 'nothing compared, or a difference'}"
                 for line in self.lines if not good(line)]
        return found + [f"chained, {line}" for line in (self.chained or {}).get("failures", [])]

    def document(self) -> dict[str, Any]:
        """Everything, for a file of JSON."""
        order = {piece.key: number for number, piece in enumerate(self.pieces)}
        layers = by_layer(sorted(self.lines, key=lambda line: order[line["key"]]))
        total = {piece.layer: 0 for piece in self.pieces}
        for piece in self.pieces:
            total[piece.layer] += piece.channels
        spans = [(self.index["began"], self.index["ended"]), *((line["began"], line["ended"]) for line in self.lines)]
        if self.chained is not None:
            spans.append((self.chained["began"], self.chained["ended"]))
        return {
            "model": self.host.model, "tokens": self.host.tokens, "text": self.index["settings"]["text"],
            "calibration": self.index["settings"]["calibration"],
            "layers": sum(row["n"] == total[row["layer"]] for row in layers), "wanted_layers": len(total),
            "model_layers": len(self.index["model_layers"]),
            "jobs": len(self.lines), **{name: sum(row[name] for row in layers) for name in SUMS},
            "wall_s": round(wall_seconds(spans), 1), "job_s": round(sum(row["seconds"] for row in layers), 1),
            **{name: round(sum(row[name] for row in layers), 1) for name in SECONDS},
            "perplexity": self.index["perplexity"], "float_perplexity": self.index["float_perplexity"],
            "chained": self.chained, "failures": self.failures, "run": self.run,
            "configuration": self.host.config.to_dict(), "per_layer": layers}


def start(host: Host, folder: Path, root: Path, layers: str, say: Callable[[str], None], fault: Fault | None = None
          ) -> tuple[Found, Engine]:
    """The host's run, and what earlier starts have found; `fault` is a mistake to seed into the RTL.

    Raises HostError, and TraceError for stored words that do not fit.
    """
    say(f"running {host.model} on the golden model, {host.tokens} tokens (a few minutes, unless it is there): {folder}")
    index = host.store(folder, layers)
    rows = sum(row["tokens"] * row["k"] * row["n"] for row in index["layers"])
    engine = Engine.of(host.config, root, rows, fault)
    run = run_digest(host.config, engine.files)
    pieces = of_index(folder, index, layers, run)
    keys = {piece.key for piece in pieces}
    lines = {line["key"]: line for line in read(folder / FILE) if line["key"] in keys and good(line)}
    found = Found(host, index, run, pieces, list(lines.values()))
    if found.chains:
        found.chained = _chained_before(folder, found)
    return found, engine


def go_on(found: Found, engine: Engine, folder: Path, jobs: int, say: Callable[[str], None]) -> None:
    """Play what is left; `found` grows. Raises HostError, and BrokenBenchError where a simulator broke."""
    known = {line["key"] for line in found.lines}
    left = [piece for piece in found.pieces if piece.key not in known]
    if known:
        say(f"{len(known)} of {len(found.pieces)} jobs are done already")
    chains = found.chains and found.chained is None
    if left or chains:
        say("building the simulator (a minute or two, unless it is there)")
        engine.build()
    if chains:
        began = time.time()
        sums = chain(found.host, engine, folder)
        found.chained = {**sums, "run": _of_chain(found), "began": began, "ended": time.time()}
        (folder / _CHAIN).write_text(json.dumps(found.chained), "utf-8")
        say(f"block 0 chained, layer to layer: {sums['layers']} layers, {sums['words']} words, {sums['mismatches']} "
            f"differ; {sums['cycles']} cycles, {sums['cycle_differences']} differ; {sums['equal_inputs']} of "
            f"{sums['inputs']} inputs as on the golden model; {duration(time.time() - began)}")
    if left:
        progress = Progress(left, len(known), jobs)
        for line in play(engine, left, folder, jobs):
            found.lines.append(line)
            say(progress.line(line))


def _of_chain(found: Found) -> str:
    """Tells what a chained block was run with from others."""
    return f"{found.run} {found.index['digest']}"


def _chained_before(folder: Path, found: Found) -> dict[str, Any] | None:
    """What an earlier start found in the chained block, if nothing has changed and nothing was wrong."""
    try:
        sums: dict[str, Any] = json.loads((folder / _CHAIN).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return sums if sums.get("run") == _of_chain(found) and not sums["failures"] else None

