"""The score of each block, and what must not pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stamp_hw.text import align
from tb.mutate.measure import CRASHED, EQUIVALENT, KILLED, SURVIVED, Verdict

SCORE_AT_LEAST = 0.95  # killed, of the mutants that are not proved equivalent
COLUMNS = ("unit", "mutants", "killed", "equivalent", "survived", "crashed", "score %", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`units`: unit → figures and mutants, `total`: figures of all; `survivors`, `errors`: a line for each."""

    units: dict[str, dict[str, Any]]
    total: dict[str, Any]
    survivors: tuple[str, ...]
    errors: tuple[str, ...]


def figures(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Numbers of each fate and the score: a mutant that is neither killed nor proved equivalent counts against it."""
    numbers = {fate: sum(verdict.fate == fate for verdict in verdicts)
               for fate in (KILLED, EQUIVALENT, SURVIVED, CRASHED)}
    changed = len(verdicts) - numbers[EQUIVALENT]
    return {"mutants": len(verdicts), **numbers, "score": numbers[KILLED] / changed if changed else 1.0,
            "seconds": round(sum(verdict.seconds for verdict in verdicts), 1)}


def judge(verdicts: Iterable[Verdict], again: str) -> Report:
    """The report; `again` is the command that repeats a unit's mutants, with `{unit}` and `{number}` to fill in."""
    found = list(verdicts)
    units = {}
    for name in dict.fromkeys(verdict.unit for verdict in found):
        mine = [verdict for verdict in found if verdict.unit == name]
        units[name] = figures(mine) | {"verdicts": [verdict.to_dict() for verdict in mine]}
    total = figures(found)

    def shown(verdict: Verdict) -> str:
        command = again.format(unit=verdict.unit, number=verdict.mutation.number)
        return f"{verdict.unit} {verdict.mutation.number}, {verdict.mutation}; again: {command}"

    errors = [f"crashed, so nothing is known: {shown(verdict)}: {verdict.how}" for verdict in found
              if verdict.fate == CRASHED]
    if not found:
        errors.append("no mutants")
    elif total["score"] < SCORE_AT_LEAST:
        errors.append(f"{total['score']:.1%} of the mutants that may change behaviour are killed, "
                      f"{SCORE_AT_LEAST:.0%} wanted")
    return Report(units=units, total=total, errors=tuple(errors),
                  survivors=tuple(shown(verdict) for verdict in found if verdict.fate == SURVIVED))


def table(report: Report) -> list[str]:
    """A line a unit and one for all."""
    rows = [*(_row(name, unit) for name, unit in report.units.items()), _row("all", report.total)]
    return align(COLUMNS, rows).splitlines()


def _row(name: str, unit: dict[str, Any]) -> tuple[str, ...]:
    return (name, *(str(unit[key]) for key in ("mutants", KILLED, EQUIVALENT, SURVIVED, CRASHED)),
            f"{100 * unit['score']:.1f}", f"{unit['seconds']:.0f}")
