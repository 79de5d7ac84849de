"""A finished sweep as rows, a row a point and scheme, and the Pareto front of each scheme; CSV of both."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from sim.sweep import figures
from sim.sweep.front import front
from sim.sweep.points import dumps

PICTURE = "front.png"  # file of a plot in its folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A point under a scheme: the `values` that the sweep moves, and its `figures`, or why there are none."""

    point: int
    scheme: str
    values: dict[str, Any]
    figures: dict[str, Any]
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The rows of a scheme of which no other is better in an objective and not worse in another, the best in the first
    objective first, and `of` how many they are."""

    scheme: str
    rows: tuple[Row, ...]
    of: int


def rows(lines: Iterable[str]) -> list[Row]:
    """The rows of a sweep's lines."""
    return rows_of(map(json.loads, lines))


def rows_of(points: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows of a sweep's points."""
    found = []
    for point in points:
        for scheme, given in point["schemes"].items():
            error = given.get("error")
            found.append(Row(point=point["point"], scheme=scheme, values=point["values"],
                             figures={} if error is not None else given, error=error))
    return found


def fronts(all_rows: Sequence[Row], goals: Sequence[str]) -> list[Front]:
    """The front of each scheme: what they cost in accuracy differs, so that one is not held against another."""
    found = []
    for scheme in dict.fromkeys(row.scheme for row in all_rows):
        own = [row for row in all_rows if row.scheme == scheme]
        costed = [(row, costs) for row in own if (costs := _costs(row, goals)) is not None]
        places = front([costs for _, costs in costed])
        best = sorted((costed[place] for place in places), key=lambda pair: (*pair[1], pair[0].point))
        found.append(Front(scheme=scheme, rows=tuple(row for row, _ in best), of=len(costed)))
    return found


def write_csv(all_rows: Sequence[Row], found: Sequence[Front], stream: IO[str]) -> None:
    """A line a row: point, scheme, whether it is on its scheme's front, the values, every figure, the error."""
    fields = list(dict.fromkeys(field for row in all_rows for field in row.values))
    named = list(dict.fromkeys(name for row in all_rows for name in row.figures))
    on_front = {(row.point, row.scheme) for one in found for row in one.rows}
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("point", "scheme", "front", *fields, *named, "error"))
    for row in all_rows:
        writer.writerow((row.point, row.scheme, int((row.point, row.scheme) in on_front),
                         *(text_of(row.values[field]) for field in fields),
                         *("" if (value := row.figures.get(name)) is None else value for name in named),
                         row.error or ""))


def text_of(value: Any) -> str:
    """A value that a sweep moves."""
    return value if isinstance(value, str) else dumps(value)


def _costs(row: Row, goals: Sequence[str]) -> tuple[float, ...] | None:
    """The objectives, less is better; None where the point has one of them not."""
    costs = []
    for goal in goals:
        value = figures.value(goal, row.values, row.figures)
        if row.error is not None or value is None:
            return None
        costs.append(-value if figures.more_is_better(goal) else value)
    return tuple(costs)
