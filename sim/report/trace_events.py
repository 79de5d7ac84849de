"""A timeline in the Trace Event Format (the JSON object form), which Perfetto and chrome://tracing draw.

Format: N. Duca, D. Sinclair, "Trace Event Format", Google document 1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: a
complete event (`ph` X) has `ts` and `dur` in microseconds, a metadata event (`ph` M) names a process or a thread. Here
a microsecond of the trace is a cycle of the engine, so that every figure stays a whole number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from sim.engine.timeline import Timeline

_PROCESS = 1


def document(timeline: Timeline, title: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The whole file: `title` names the process, `facts` stand in `otherData` beside what the times mean."""
    cycles = timeline.cycles
    return {
        "traceEvents": [*_names(timeline, title), *_events(timeline)],
        "displayTimeUnit": "ms",
        "otherData": {
            "time": "1 microsecond of this trace is 1 cycle of the engine", **facts, "cycles": cycles.total,
            "streaming_cycles": cycles.streaming, "array_tiles": cycles.array_tiles,
            "super_tiles": cycles.super_tiles, "column_tiles": cycles.column_tiles, "bottleneck": cycles.bottleneck,
            "source": "cycle model of the engine, beat by beat, held equal to the RTL; external memory modelled"},
    }


def write(trace: Mapping[str, Any], stream: IO[str]) -> None:
    """The file, an event a line."""
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in trace["traceEvents"])
    rest = {key: value for key, value in trace.items() if key != "traceEvents"}
    stream.write(f'{{"traceEvents":[\n{lines}\n],{json.dumps(rest, indent=1)[1:]}\n')


def _names(timeline: Timeline, title: str) -> Iterator[dict[str, Any]]:
    yield _metadata("process_name", 0, {"name": title})
    for place, unit in enumerate(timeline.units, start=1):
        yield _metadata("thread_name", place, {"name": unit})
        yield _metadata("thread_sort_index", place, {"sort_index": place})


def _metadata(name: str, thread: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ph": "M", "pid": _PROCESS, "tid": thread, "args": args}


def _events(timeline: Timeline) -> Iterator[dict[str, Any]]:
    """A complete event a span, unit by unit."""
    for place, (unit, spans) in enumerate(timeline.units.items(), start=1):
        for span in spans:
            args = {key: value for key, value in (("super_tile", span.super_tile), ("column_tile", span.column))
                    if value is not None}
            yield {"name": span.name, "cat": unit, "ph": "X", "ts": span.begin, "dur": span.end - span.begin,
                   "pid": _PROCESS, "tid": place, **({"args": args} if args else {})}
