"""The page of a sweep: what `stamp-hw sweep --out` writes, a line that says which sweep it is and a line a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.report import cells, common, names, scatter
from sim.report.check import anything, figure, listing, mapping, need, place, record, text, within
from sim.report.view import Card, Cell, Scatter, Section, Spot, Table, View
from sim.sweep import figures, results, tables
from sim.sweep.points import MAPPING
from sim.sweep.results import Front, Row
from sim.sweep.run import SCHEMA_VERSION
from sim.sweep.spec import OBJECTIVES
from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import strict_json
from stamp_hw.text import plural

_MOST = 1000  # rows of the table and marks of the scatter; a page of more would be slow to open
#: End of an objective's name → (unit, what one of it is in that); the first that fits, none: a number alone.
_UNITS = (("_j_per_unit", "J", 1.0), ("energy_fj", "J", 1e-15), ("power_w", "W", 1.0), ("bytes_per_s", "B/s", 1.0),
          ("units_per_s", "/s", 1.0), ("_hz", "Hz", 1.0), ("_bytes", "B", 1.0), ("time_s", "s", 1.0))
#: What a column with a unit of its own is called, in place of the figure's name.
_CALLED = {"energy_fj": "energy", "time_s": "time", "power_w": "power", "energy_j_per_unit": "energy a unit"}
_BESIDE = ("cycles", "time_s", "energy_fj", "dram_bytes", "utilization")  # figures of every row of the table
_HEAD = record({"version": text, "base": mapping(anything, empty=True), "workload": mapping(anything),
                "schemes": listing(text), "mapping": text, "fields": listing(text), "points": figure, "digest": text})
_POINT = record({"point": figure, "values": mapping(anything), "schemes": mapping(mapping(anything))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A finished sweep: its first line, and its rows in the order of their points."""

    head: Mapping[str, Any]
    rows: list[Row]


def is_one(content: bytes) -> bool:
    """Whether a file's first line alone is that of a sweep."""
    first, end, _ = content.partition(b"\n")
    return bool(end) and first.startswith(b'{"schema_version":') and first.rstrip().endswith(b"}")


def read(content: bytes, where: str) -> Swept:
    """The sweep of a file's bytes. Raises StampError, which names the line, where it is none or not done."""
    first, *lines = content.removesuffix(b"\n").split(b"\n")
    head = _line(first, where, 1)
    if head.get("schema_version") != SCHEMA_VERSION:
        raise StampError("sweep of another schema", where=f"{where}: line 1", got=head.get("schema_version"),
                         expected=f"{SCHEMA_VERSION}, as this version writes")
    with within(f"{where}: line 1"):
        _HEAD(head, "")
    points = []
    for number, line in enumerate(lines, start=2):
        point = _line(line, where, number)
        with within(f"{where}: line {number}"):
            _check(point, head)
        points.append(point)
    if sorted(point["point"] for point in points) != list(range(int(head["points"]))):
        raise StampError("points of a sweep that is not done", where=where, got=f"{len(points)} of {head['points']:g}",
                         expected="the same sweep run to its end")
    return Swept(head=head, rows=results.rows_of(sorted(points, key=lambda point: point["point"])))


def _line(line: bytes, where: str, number: int) -> dict[str, Any]:
    try:
        found = strict_json(line, where)
    except StampError as error:
        raise StampError(error.what, where=f"{where}: line {number}", got=error.got, expected=error.expected) from None
    need(isinstance(found, dict), f"{where}: line {number}", found, "an object")
    return dict(found)


def _check(point: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Raise StampError unless a point has the sweep's fields and schemes, and figures or an error under each."""
    _POINT(point, "")
    for key, wanted in (("values", head["fields"]), ("schemes", head["schemes"])):
        need(list(point[key]) == list(wanted), key, ", ".join(point[key]), ", ".join(wanted))
    for scheme, found in point["schemes"].items():
        where = place("schemes", scheme)
        if "error" in found:
            text(found["error"], place(where, "error"))
            continue
        for name in (*figures.WHOLE, *figures.HARDWARE):
            need(name in found, place(where, name), "nothing", "this key")
        for name, value in found.items():
            if value is not None and not isinstance(value, str):
                figure(value, place(where, name))


def view(swept: Swept, goals: Sequence[str] = OBJECTIVES) -> View:
    """The page, with the fronts of some objectives, of which the scatter has the first two. Raises StampError for an
    objective that there is none of."""
    known = dict.fromkeys(name for row in swept.rows for name in row.figures)
    figures.check_goals("--objectives", goals, known, swept.head["fields"])
    if len(set(goals)) < max(2, len(goals)):
        raise StampError("not two objectives", where="--objectives", got=",".join(goals), expected="two or more, each "
                         "once")
    fronts = results.fronts(swept.rows, goals)
    return View(
        title=f"Sweep of {_workload(swept.head)} on stamp-hw", subtitle=_subtitle(swept),
        cards=tuple(_card(front, goals) for front in fronts), verdict=(_asked(goals),),
        sections=(_front(swept, fronts, goals), _points(swept, fronts, goals), *_failed(swept),
                  Section(anchor="missing", title="Not included", points=(
                      "accuracy: a front holds the points of its own scheme alone, since schemes differ in it",
                      "cycles: tokens that could come while another job runs; all wait for its results")),
                  common.origins(("swept", "given")), _configuration(swept)))


def _workload(head: Mapping[str, Any]) -> str:
    own = head["workload"]
    return str(own["model"]) if "model" in own else "given layers"


def _subtitle(swept: Swept) -> str:
    head, failed = swept.head, sum(row.error is not None for row in swept.rows)
    how = "random values" if head.get("samples") is not None else "every combination"
    return (f"{plural(round(head['points']), 'point')}: {how} of {', '.join(head['fields'])}; under "
            f"{', '.join(head['schemes'])}: {plural(len(swept.rows) - failed, 'row')} costed, {failed} failed."
            + ("" if MAPPING in head["fields"] else f" Super-tiles: {head['mapping']}."))


def _asked(goals: Sequence[str]) -> str:
    wanted = ", ".join(f"{'most' if figures.more_is_better(goal) else 'least'} {goal}" for goal in goals)
    return (f"On a front is a point than which no other of its scheme is better in one of these and not worse in all "
            f"others: {wanted}.")


def _unit(goal: str) -> tuple[str, float]:
    return next(((unit, scale) for end, unit, scale in _UNITS if goal.endswith(end)), ("", 1.0))


def _told(goal: str, value: float) -> str:
    unit, scale = _unit(goal)
    return scatter.written(float(f"{scale * value:.4g}"), unit)


def _card(front: Front, goals: Sequence[str]) -> Card:
    """How many points are on a front, and the best in each objective."""
    lines = []
    for goal in goals:
        sign = -1 if figures.more_is_better(goal) else 1
        best = min(front.rows, key=lambda row: sign * _value(row, goal), default=None)
        if best is not None:
            lines.append((f"best {goal}", f"{_told(goal, _value(best, goal))}, point {best.point}"))
    return Card(name=f"front of {front.scheme}", value=str(len(front.rows)), unit=f"of {plural(front.of, 'point')}",
                lines=tuple(lines))


def _value(row: Row, goal: str) -> float:
    found = figures.value(goal, row.values, row.figures)
    assert found is not None, "rows of a front have every objective"
    return found


def _front(swept: Swept, fronts: Sequence[Front], goals: Sequence[str]) -> Section:
    """The points in the first two objectives, and the rows that are on the front of all."""
    across, up = goals[:2]
    lines = results.fronts(swept.rows, (across, up))
    on_line = {(row.point, row.scheme): place for one in lines for place, row in enumerate(one.rows)}
    there = [row for row in swept.rows if row.error is None
             and None not in (figures.value(goal, row.values, row.figures) for goal in (across, up))]
    shown = _thinned(there, set(on_line))
    (x_unit, x_scale), (y_unit, y_scale) = _unit(across), _unit(up)
    spots = tuple(Spot(
        told=f"point {row.point}, {row.scheme}: {_told(across, _value(row, across))}, {_told(up, _value(row, up))}",
        scheme=row.scheme, front=(row.point, row.scheme) in on_line, x=x_scale * _value(row, across),
        y=y_scale * _value(row, up))
        for row in sorted(shown, key=lambda row: on_line.get((row.point, row.scheme), -1)))
    parts: list[Scatter | Table] = []
    if spots:
        parts.append(Scatter(
            title=f"{up} over {across}", across=_axis(across), up=_axis(up), x_unit=x_unit, y_unit=y_unit, spots=spots,
            schemes=tuple(swept.head["schemes"]), lead=common.lead(swept.head["schemes"]), origin="swept",
            note=f"Lines: the front of these two objectives alone. {_left_out(shown, there)}".strip()))
    best = [row for front in fronts for row in front.rows]
    if best:
        parts.append(_table("Fronts of all objectives", best[:_MOST], swept, goals, None))
    return Section(anchor="summary", title="Fronts", parts=tuple(parts),
                   words=() if spots else ("No point has both objectives.",))


def _axis(goal: str) -> str:
    return f"{goal} ({'more' if figures.more_is_better(goal) else 'less'} is better)"


def _thinned(rows: list[Row], kept: set[tuple[int, str]]) -> list[Row]:
    """Those that are kept, and of the others as many as a page takes, evenly."""
    others = [row for row in rows if (row.point, row.scheme) not in kept]
    room = max(1, _MOST - (len(rows) - len(others)))
    step = max(1, -(-len(others) // room))
    chosen = {(row.point, row.scheme) for row in others[::step]} | kept
    return [row for row in rows if (row.point, row.scheme) in chosen]


def _left_out(shown: Sequence[Row], rows: Sequence[Row]) -> str:
    left = len(rows) - len(shown)
    return f"Of {len(rows):,} rows {len(shown):,} are shown: fronts, and an even part of the others." if left else ""


def _points(swept: Swept, fronts: Sequence[Front], goals: Sequence[str]) -> Section:
    """Every row that was costed."""
    costed = [row for row in swept.rows if row.error is None]
    best = {(row.point, row.scheme) for front in fronts for row in front.rows}
    shown = _thinned(costed, best)
    table = (_table("Points", shown, swept, goals, best, _left_out(shown, costed)),) if shown else ()
    return Section(anchor="points", title="Points", parts=table, words=(
        "A press on a heading sorts by it. `stamp-hw sweep --csv` writes every figure of every point.",))


def _table(caption: str, rows: Sequence[Row], swept: Swept, goals: Sequence[str], best: set[tuple[int, str]] | None,
           note: str = "") -> Table:
    """Rows with their values, objectives and a few figures more; whether each is among the `best`."""
    fields = list(swept.head["fields"])
    named = list(dict.fromkeys(name for name in (*goals, *_BESIDE) if name not in fields))
    marked = [] if best is None else [("front", cells.words(["on it" if (row.point, row.scheme) in best else "–"
                                                             for row in rows]))]
    moved = [(heading, [_moved(row.values[field]) for row in rows])
             for heading, field in zip(tables.short(fields), fields, strict=True)]
    costs = [_column(heading, name, [row.figures.get(name) for row in rows])
             for heading, name in zip(tables.short(named), named, strict=True)]
    columns = [("point", [Cell(text=str(row.point), value=row.point) for row in rows]),
               ("scheme", cells.words([row.scheme for row in rows])), *marked, *moved, *costs,
               ("paced by", cells.words([names.limit(row.figures["bottleneck"]) for row in rows]))]
    words = [number for number, (_, column) in enumerate(columns) if all(cell.value is None for cell in column)]
    return cells.table(caption, columns, tuple(words), origin="swept", note=note)


def _moved(value: Any) -> Cell:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(text=tables.written(value), value=value if numeric else None)


def _column(heading: str, name: str, values: Sequence[float | None]) -> tuple[str, list[Cell]]:
    unit, scale = _unit(name)
    if unit:
        scaled = [None if value is None else scale * value for value in values]
        return cells.scaled(_CALLED.get(heading, heading), scaled, unit)
    if all(isinstance(value, int) for value in values):
        return heading, cells.counts([value for value in values if value is not None])
    return heading, cells.plain(values, 4)


def _failed(swept: Swept) -> tuple[Section, ...]:
    """Each reason once, with the rows that it is of."""
    reasons: dict[str, list[Row]] = {}
    for row in swept.rows:
        if row.error is not None:
            reasons.setdefault(row.error, []).append(row)
    if not reasons:
        return ()
    return (Section(anchor="failed", title="Failed", points=tuple(
        f"point {rows[0].point}, {rows[0].scheme}" + (f" and {plural(len(rows) - 1, 'row')} more" if len(rows) > 1
                                                      else "") + f": {reason}"
        for reason, rows in list(reasons.items())[:_MOST])),)


def _configuration(swept: Swept) -> Section:
    """What every point has in common, as the sweep says it."""
    rows = [("workload", key, value) for key, value in swept.head["workload"].items()]
    rows += [(section, key, value) for section, values in swept.head["base"].items() if isinstance(values, Mapping)
             for key, value in values.items()]
    table = Table(caption=f"Workload and base of every point (stamp-hw {swept.head['version']})", origin="given",
                  columns=("section", "key", "value"), words=(0, 1, 2),
                  rows=tuple((Cell(text=section), Cell(text=key), Cell(text=common.written(value)))
                             for section, key, value in rows))
    return Section(anchor="configuration", title="Configuration", parts=(table,) if rows else (), words=(
        "What is not said here is the default's; what an axis moves is each point's own.",))
