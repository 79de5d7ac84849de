"""A sweep's report as text: the front of each scheme, what failed and why, where every figure comes from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from sim.mapping import table
from sim.mapping.objective import LARGEST
from sim.sweep import figures
from sim.sweep.points import MAPPING
from sim.sweep.results import Front, Row, text_of
from sim.sweep.spec import Sweep
from sim.workload.tables import LIMITS
from stamp_hw.text import WIDTH, align, plural

_SHOWN = 24  # rows of a front; the CSV has all
_REASONS = 8  # lines of errors that differ


def render(sweep: Sweep, points: int, rows: Sequence[Row], fronts: Sequence[Front]) -> str:
    """All tables and the footer."""
    failed = [row for row in rows if row.error is not None]
    parts = [_title(sweep, points, rows, failed), *(_front(one, sweep) for one in fronts)]
    if failed:
        parts.append(_failures(failed))
    return "\n\n".join([*parts, _footer(sweep)])


def _title(sweep: Sweep, points: int, rows: Sequence[Row], failed: Sequence[Row]) -> str:
    how = "every combination of" if sweep.samples is None else f"random, seed {sweep.seed}, of"
    counted = f"{plural(len(rows) - len(failed), 'row')} costed, {len(failed)} failed"
    return _wrapped(f"{sweep.name}: {plural(points, 'point')}, {how} {', '.join(sweep.moved)}; under "
                    f"{', '.join(sweep.schemes)}: {counted}")


def _front(front: Front, sweep: Sweep) -> str:
    goals = ", ".join(f"{'most' if figures.more_is_better(goal) else 'least'} {goal}" for goal in sweep.objectives)
    head = _wrapped(f"Pareto front of {front.scheme} ({goals}): {len(front.rows)} of {plural(front.of, 'point')}")
    if not front.rows:
        return head
    shown = front.rows[:_SHOWN]
    names = short([*sweep.moved, *(goal for goal in sweep.objectives if goal not in sweep.moved)])
    table = align(("point", *names, "limited by"), [_cells(row, sweep) for row in shown], left=1)
    rest = len(front.rows) - len(shown)
    return "\n".join([head, table, *([f"and {rest} more (--csv)"] if rest else [])])


def short(names: Sequence[str]) -> list[str]:
    """Names without the section or phase in front, where that leaves no two alike."""
    ends = [name.rpartition(".")[2] for name in names]
    return [end if ends.count(end) == 1 else name for end, name in zip(ends, names, strict=True)]


def _cells(row: Row, sweep: Sweep) -> tuple[str, ...]:
    goals = (goal for goal in sweep.objectives if goal not in sweep.moved)
    limit = row.figures["bottleneck"]
    return (str(row.point), *(written(row.values[field]) for field in sweep.moved),
            *(_figure(row.figures[goal]) for goal in goals), LIMITS.get(limit, "–"))


def written(value: Any) -> str:
    """A value that a sweep moves, a float to six digits."""
    return f"{value:.6g}" if isinstance(value, float) else text_of(value)


def _figure(value: Any) -> str:
    """A whole number as it is up to nine digits, others to four."""
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**9 else f"{value:.4g}"


def _failures(failed: Sequence[Row]) -> str:
    """Each reason once, with the rows that it is of."""
    reasons: dict[str, list[Row]] = {}
    for row in failed:
        reasons.setdefault(str(row.error), []).append(row)
    lines = ["Failed:"]
    for reason, rows in list(reasons.items())[:_REASONS]:
        first = f"point {rows[0].point}, {rows[0].scheme}"
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        lines.append(_wrapped(f"* {first}{more}: {reason}"))
    if len(reasons) > _REASONS:
        lines.append(f"* and {len(reasons) - _REASONS} reasons more (--csv)")
    return "\n".join(lines)


def _footer(sweep: Sweep) -> str:
    searched = sweep.mapping != LARGEST and MAPPING not in sweep.moved
    name = "the sweep's own set" if sweep.energy_set is not None else "the set that hw.technology names"
    order = ("the next job's registers and first weights come while one runs, unless workload.prefetch is false"
             if "model" in sweep.workload or "workload.model" in sweep.moved else "each layer on an engine at rest")
    return "\n".join([
        _wrapped(f"Cycles: cycle model of the engine, RTL-checked beat by beat; {order}; the DRAM is modelled."),
        *([_wrapped(f"{table.title(sweep.mapping)}.")] if searched else []),
        _wrapped(f"Energy: modelled, event counts times the constants of {name}, the memory's own where hw.memory has "
                 "them."),
        _wrapped("A front holds the points of its own scheme alone: schemes differ in accuracy, which is not a figure "
                 "here. docs/sweep.md says what each figure is."),
    ])


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  "))
