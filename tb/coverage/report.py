"""Holds the points of all builds together against the waivers and the plan: what is covered, and what must not pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stamp_hw.text import align
from tb.coverage.builds import LEFT_OUT
from tb.coverage.points import Point
from tb.coverage.waivers import Waiver
from tb.run.plan import Entry

WAIVED_AT_MOST = 0.02  # of a block's line and branch points
PORT_TOGGLES_AT_LEAST = 0.90  # of the bits of a block's ports, both directions
COLUMNS = ("block", "line points", "hit", "branch points", "hit", "waived", "percent", "port toggles", "hit", "percent",
           "inner toggles", "hit", "points of parts", "hit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one build gave: its line, branch and port toggle points, totals of the toggles inside, words a test;
    `parts`: block that is a part of it (`tb.coverage.parts`) → line and branch points there, and those reached."""

    block: str
    set_name: str
    points: tuple[Point, ...]
    inner_toggles: int
    inner_hit: int
    parts: Mapping[str, tuple[int, int]]
    words: Mapping[str, int]
    cycles: int
    seconds: float

    def of(self, *kinds: str) -> tuple[Point, ...]:
        """The points of these kinds."""
        return tuple(point for point in self.points if point.kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`blocks`: block → its figures, `errors`: a line for each thing that must not pass."""

    blocks: dict[str, dict[str, Any]]
    errors: tuple[str, ...]


def judge(samples: Sequence[Sample], waivers: Sequence[Waiver], plan: Sequence[Entry]) -> Report:
    """Figures and errors of the blocks in `samples`; waivers and plan of other blocks are left alone."""
    blocks = {}
    errors: list[str] = []
    for name in dict.fromkeys(sample.block for sample in samples):
        mine = [sample for sample in samples if sample.block == name]
        own = [waiver for waiver in waivers if waiver.block == name]
        missed = [(sample.set_name, point) for sample in mine for point in sample.of("line", "branch") if not point.hit]
        reached = [(sample.set_name, point) for sample in mine for point in sample.of("line", "branch") if point.hit]
        open_points = [(set_name, point) for set_name, point in missed
                       if not any(waiver.covers(name, set_name, point) for waiver in own)]
        errors += [f"{name} {set_name}, not reached: {point}" for set_name, point in open_points]
        for waiver in own:
            if not any(waiver.covers(name, *one) for one in missed):
                errors.append(f"{name}, waiver without use: {waiver.module} {waiver.what} {waiver.source}")
            errors += [f"{name} {set_name}, waived but reached: {point}" for set_name, point in reached
                       if waiver.covers(name, set_name, point)][:1]
        figures = _figures(mine, len(missed) - len(open_points))
        blocks[name] = figures | {"left_out": dict(LEFT_OUT.get(name, {})),
                                  "waivers": [_shown(waiver) for waiver in own], "plan": _realised(name, mine, plan)}
        if figures["waived"] > WAIVED_AT_MOST * (figures["line"] + figures["branch"]):
            errors.append(f"{name}: {figures['waived']} points waived, more than {WAIVED_AT_MOST:.0%}")
        if figures["port_toggles_hit"] < PORT_TOGGLES_AT_LEAST * figures["port_toggles"]:
            errors.append(f"{name}: {figures['port_toggles_percent']:.1f} % of the port toggles, "
                          f"{PORT_TOGGLES_AT_LEAST:.0%} wanted")
        errors += [f"{name}, planned but nothing compared: {point}" for point, words in blocks[name]["plan"].items()
                   if not words]
    return Report(blocks=blocks, errors=tuple(errors))


def _figures(samples: Sequence[Sample], waived: int) -> dict[str, Any]:
    points = {kind: [point for sample in samples for point in sample.of(kind)] for kind in ("line", "branch", "toggle")}
    hit = {kind: sum(point.hit for point in found) for kind, found in points.items()}
    both, reached = len(points["line"]) + len(points["branch"]), hit["line"] + hit["branch"]
    return {"line": len(points["line"]), "line_hit": hit["line"],
            "branch": len(points["branch"]), "branch_hit": hit["branch"], "waived": waived,
            "line_branch_percent": _percent(reached, both - waived),
            "port_toggles": len(points["toggle"]), "port_toggles_hit": hit["toggle"],
            "port_toggles_percent": _percent(hit["toggle"], len(points["toggle"])),
            "inner_toggles": sum(sample.inner_toggles for sample in samples),
            "inner_toggles_hit": sum(sample.inner_hit for sample in samples),
            "parts": {part: {"points": sum(sample.parts.get(part, (0, 0))[0] for sample in samples),
                             "hit": sum(sample.parts.get(part, (0, 0))[1] for sample in samples)}
                      for part in sorted({part for sample in samples for part in sample.parts})},
            "cycles": sum(sample.cycles for sample in samples),
            "words": sum(sum(sample.words.values()) for sample in samples),
            "sets": [sample.set_name for sample in samples],
            "ports_not_toggled": [f"{sample.set_name} {point.module} {point.what}" for sample in samples
                                  for point in sample.of("toggle") if not point.hit]}


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


def _shown(waiver: Waiver) -> dict[str, Any]:
    return {name: getattr(waiver, name) for name in ("sets", "module", "what", "source", "rest", "reason")}


def _realised(block: str, samples: Sequence[Sample], plan: Sequence[Entry]) -> dict[str, int]:
    """Point of the plan → words that its tests compared, over all builds; a test that pytest collects counts as one."""
    total = {test: sum(sample.words.get(test, 0) for sample in samples) for sample in samples for test in sample.words}
    return {entry.name: sum(total.get(test, 0) for test in entry.tests) + len(entry.collected)
            for entry in plan if entry.block == block}


def table(report: Report) -> list[str]:
    """The figures of each block, as lines."""
    rows = []
    for name, of in report.blocks.items():
        rows.append((name, str(of["line"]), str(of["line_hit"]), str(of["branch"]), str(of["branch_hit"]),
                     str(of["waived"]), f"{of['line_branch_percent']:.2f}", str(of["port_toggles"]),
                     str(of["port_toggles_hit"]), f"{of['port_toggles_percent']:.2f}", str(of["inner_toggles"]),
                     str(of["inner_toggles_hit"]), str(sum(part["points"] for part in of["parts"].values())),
                     str(sum(part["hit"] for part in of["parts"].values()))))
    return align(COLUMNS, rows).splitlines()
