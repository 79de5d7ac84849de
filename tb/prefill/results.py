"""What became of each job of a prefill: a file with a line of JSON each, to which several processes append."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = "results.jsonl"
SECONDS = ("cpu_s", "rtl_cpu_s")  # of processors
SUMS = ("products", "words", "mismatches", "timed_beats", "cycles", "cycle_differences", "event_differences")


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line, whole, whoever else adds one. It begins with a line end: the one before it may have been cut off."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, ("\n" + json.dumps(line)).encode())
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    """All lines; one that a process was ended in is left out."""
    if not path.is_file():
        return []
    found = []
    for text in path.read_text("utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "key" in line:
            found.append(line)
    return found


def good(line: Mapping[str, Any]) -> bool:
    """Words were compared, and nothing is wrong."""
    return bool(line["words"]) and not line["failure"] and not any(
        line[name] for name in ("mismatches", "cycle_differences", "event_differences"))


def by_layer(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a layer, in the order of the lines: sums over its pieces, seconds, and the failures."""
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        row = rows.setdefault(line["layer"], {
            "layer": line["layer"], "kind": line["kind"], "tokens": line["tokens"], "k": line["k"], "n": 0, "jobs": 0,
            **dict.fromkeys(SUMS, 0), "seconds": 0.0, **dict.fromkeys(SECONDS, 0.0), "failures": []})
        row["n"] += line["channels"]
        row["jobs"] += 1
        row["seconds"] = round(row["seconds"] + line["ended"] - line["began"], 3)
        for name in SUMS:
            row[name] += line[name]
        for name in SECONDS:
            row[name] = round(row[name] + line[name], 3)
        row["failures"] += [line["failure"]] * bool(line["failure"])
    return list(rows.values())


def wall_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds in which something ran, of (begin, end) that may overlap: those of all starts of a run that was
    interrupted, without the time between them."""
    seconds, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        seconds += max(0.0, end - max(begin, until))
        until = max(until, end)
    return seconds
