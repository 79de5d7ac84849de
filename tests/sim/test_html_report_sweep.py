"""`stamp-hw report` of a sweep: its points, the fronts marked, a scatter of two objectives; nothing else is drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.report import page, read, sweep
from sim.report.view import Scatter, Table, View
from sim.sweep import figures, results
from stamp_hw.cli.main import main
from tests.support.refusals import refused
from tests.support.report_cases import parsed
from tests.support.sweep_cases import swept, write

GOALS = ("cycles", "energy_fj", "pes")
TOLD = re.compile(r"point (\d+), (\w+): ")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small sweep, done."""
    folder = tmp_path_factory.mktemp("sweep")
    swept(write(folder), folder / "out")
    return folder / "out"


def rows(out: Path) -> list[results.Row]:
    return results.rows(out.read_text(encoding="utf-8").splitlines()[1:])


def tables(view: View) -> dict[str, Table]:
    return {part.caption: part for section in view.sections for part in section.parts if isinstance(part, Table)}


def scatter(view: View) -> Scatter:
    (found,) = (part for section in view.sections for part in section.parts if isinstance(part, Scatter))
    return found


def changed(out: Path, folder: Path, change: Callable[[list[Any]], None]) -> Path:
    """The sweep's file with its lines, as documents, changed."""
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    change(lines)
    path = folder / "changed"
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_fronts_are_those_of_the_sweep_and_every_point_stands_with_its_figures(out: Path) -> None:
    view = read.read(out, GOALS)
    costed = [row for row in rows(out) if row.error is None]
    best = [(row.point, row.scheme) for one in results.fronts(costed, GOALS) for row in one.rows]
    table, fronts = tables(view)["Points"], tables(view)["Fronts of all objectives"]
    assert [(int(row[0].text), row[1].text) for row in fronts.rows] == best
    assert [(int(row[0].text), row[1].text) for row in table.rows] == [(row.point, row.scheme) for row in costed]
    assert {(int(row[0].text), row[1].text) for row in table.rows if row[2].text == "on it"} == set(best)
    at = {name: table.columns.index(name) for name in ("cycles", "rows", "k", "energy, µJ", "paced by")}
    for row, cells in zip(costed, table.rows, strict=True):
        assert cells[at["cycles"]].value == row.figures["cycles"]
        assert cells[at["rows"]].value == row.values["hw.rows"] and cells[at["k"]].value == row.values["workload.k"]
        assert cells[at["energy, µJ"]].value == pytest.approx(row.figures["energy_fj"] * 1e-15)
    for front, card in zip(results.fronts(costed, GOALS), view.cards, strict=True):
        assert (card.name, card.value) == (f"front of {front.scheme}", str(len(front.rows)))


def test_the_scatter_has_a_mark_a_row_and_joins_the_front_of_its_two_objectives(out: Path) -> None:
    view = read.read(out, ("energy_fj", "utilization", "pes"))
    costed = [row for row in rows(out) if row.error is None]
    found, text = scatter(view), page.render(view)
    assert (found.across, found.up) == ("energy_fj (less is better)", "utilization (more is better)")
    by_row = {(row.point, row.scheme): row for row in costed}
    assert len(found.spots) == len(by_row)
    for spot in found.spots:
        match = TOLD.match(spot.told)
        assert match is not None
        row = by_row.pop((int(match[1]), match[2]))
        assert (spot.scheme, spot.y) == (row.scheme, row.figures["utilization"])
        assert spot.x == pytest.approx(row.figures["energy_fj"] * 1e-15)
    joined = 0
    for front in results.fronts(costed, ("energy_fj", "utilization")):
        own = [spot for spot in found.spots if spot.front and spot.scheme == front.scheme]
        assert [spot.y for spot in own] == [row.figures["utilization"] for row in front.rows], "in the front's order"
        joined += len(own) - 1
    figure = next(node for node in parsed(text).all("figure"))
    (drawing,) = (node for node in figure.all("svg") if node.attributes.get("role") == "img")
    assert sum("stroke" in line.attributes for line in drawing.all("line")) == joined > 0
    marks = [path.attributes["class"] for path in drawing.all("path")]
    assert marks.count("mark solid") == sum(spot.front for spot in found.spots)
    assert len(marks) == len(costed)


def test_a_page_is_the_same_bytes_wherever_and_loads_nothing(out: Path, tmp_path: Path) -> None:
    texts = []
    for folder in (tmp_path / "a", tmp_path / "other place"):
        folder.mkdir()
        (folder / "sweep").write_bytes(out.read_bytes())
        assert main(["report", str(folder / "sweep"), "--out", str(folder / "p.html"), "--objectives", ",".join(GOALS)
                     ]) == 0
        texts.append((folder / "p.html").read_text(encoding="utf-8"))
    assert texts[0] == texts[1] == page.render(read.read(out, GOALS))
    assert "http" not in re.sub(r'http-equiv="', "", texts[0])
    assert not re.search(r"\b(?:src|srcset|action|data|style|on\w+)=|@import|\burl\((?!#hatched-)|eval\(", texts[0])
    root = parsed(texts[0])
    ids = {node.attributes["id"] for node in root.all("section")}
    assert all((node.attributes["href"] or "")[1:] in ids for node in root.all("a"))
    assert page.render(read.read(out)) == page.render(read.read(out, ("time_s", "energy_fj", "pes")))


def test_what_failed_is_said_with_its_reason(out: Path) -> None:
    failed = [row for row in rows(out) if row.error is not None]
    text = parsed(page.render(read.read(out))).text
    assert failed and all(str(row.error) in text for row in failed)
    assert f"36 points: every combination of hw.rows, hw.cols, hw.act_slots, workload.k; under a4, stamp: " \
           f"{72 - len(failed)} rows costed, {len(failed)} failed. Super-tiles: largest." in text


def test_a_text_of_a_sweep_is_never_markup(out: Path, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\"'&amp;\u202e"

    def change(lines: list[Any]) -> None:
        lines[0]["version"], lines[0]["workload"] = hostile, {"model": hostile}
        lines[1]["values"]["hw.rows"] = hostile
        lines[2]["schemes"]["a4"] = {"error": hostile}

    text = page.render(read.read(changed(out, tmp_path, change)))
    assert "<script>alert" not in text and "\u202e" not in text and text.count("<script>") == 1
    assert "</script><script>alert(1)</script>\"'&amp;" in parsed(text).text


def test_of_very_many_rows_the_fronts_and_an_even_part_of_the_others_are_shown(out: Path, tmp_path: Path) -> None:
    def change(lines: list[Any]) -> None:
        point = lines[32]
        lines[0]["points"] = 3000
        lines[1:] = [{**point, "point": number, "schemes": {name: {**found, "cycles": number % 1000 + 1}
                                                            for name, found in point["schemes"].items()}}
                     for number in range(3000)]

    view = read.read(changed(out, tmp_path, change), ("cycles", "energy_fj"))
    table = tables(view)["Points"]
    assert 700 <= len(table.rows) <= 1000 and f"Of 6,000 rows {len(table.rows):,} are shown" in table.note
    assert {int(row[0].text) for row in table.rows if row[2].text == "on it"} == {0, 1000, 2000}
    assert len(scatter(view).spots) <= 1000 and sum(spot.front for spot in scatter(view).spots) == 6


def _first(key: str, value: Any) -> Callable[[list[Any]], None]:
    return lambda lines: lines[0].__setitem__(key, value)


def _figure(name: str, value: Any) -> Callable[[list[Any]], None]:
    return lambda lines: lines[32]["schemes"]["stamp"].__setitem__(name, value)


@pytest.mark.parametrize(("change", "said"), [
    (_first("schema_version", 9), "line 1: sweep of another schema; got 9; expected 1"),
    (_first("fields", "hw.rows"), "line 1: fields: not a report that can be drawn"),
    (lambda lines: lines[0].pop("mapping"), "line 1: mapping: not a report that can be drawn; got nothing"),
    (lambda lines: lines.pop(), "points of a sweep that is not done; got 35 of 36; expected the same sweep run"),
    (lambda lines: lines.append(lines[3]), "points of a sweep that is not done; got 37 of 36"),
    (lambda lines: lines.__setitem__(4, [1]), "line 5: not a report that can be drawn; got [1]; expected an object"),
    (lambda lines: lines[2].pop("values"), "line 3: values: not a report that can be drawn"),
    (lambda lines: lines[2]["values"].pop("hw.rows"), "line 3: values: not a report that can be drawn"),
    (lambda lines: lines[2]["schemes"].pop("a4"), "line 3: schemes: not a report that can be drawn; got stamp"),
    (lambda lines: lines[32]["schemes"]["a4"].pop("time_s"), "line 33: schemes.a4.time_s: not a report"),
    (_figure("cycles", -1), "line 33: schemes.stamp.cycles: not a report that can be drawn; got -1"),
    (_figure("power_w", True), "line 33: schemes.stamp.power_w: not a report that can be drawn; got True"),
    (_figure("time_s", 1e300), "line 33: schemes.stamp.time_s: not a report that can be drawn"),
    (lambda lines: lines[3]["schemes"]["a4"].update(error=7), "line 4: schemes.a4.error: not a report"),
    (lambda lines: [found.update(error="x") for line in lines[1:] for found in line["schemes"].values()],
     "--objectives: no such objective; got time_s")])
def test_a_sweep_that_cannot_be_drawn_is_one_line_that_names_its_line(
        change: Callable[[list[Any]], None], said: str, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
        ) -> None:
    path, target = changed(out, tmp_path, change), tmp_path / "p.html"
    assert said in refused(["report", str(path), "--out", str(target)], capsys)
    assert not target.exists()


@pytest.mark.parametrize(("text", "said"), [
    ('{"schema_version":1}\n{', "line 1: version: not a report that can be drawn"),
    ('{"schema_version":}\n', "line 1: "), ('{"schema_version":1,"a":NaN}\n', "line 1: ")])
def test_what_only_begins_as_a_sweep_is_refused(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                ) -> None:
    path = tmp_path / "s"
    path.write_text(text, encoding="utf-8")
    assert f"{path}: {said}" in refused(["report", str(path), "--out", str(tmp_path / "p.html")], capsys)


@pytest.mark.parametrize(("goals", "said"), [
    ("speed,cycles", "--objectives: no such objective; got speed; expected some of cycles, time_s"),
    ("macs,cycles", "no such objective; got macs"), ("cycles", "not two objectives; got cycles"),
    ("cycles,cycles", "not two objectives; got cycles,cycles"), ("", "no such objective")])
def test_objectives_that_are_none_of_the_sweeps_are_refused(goals: str, said: str, out: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", str(out), "--out", str(tmp_path / "p.html"), "--objectives", goals]
    assert said in refused(words, capsys) and list(tmp_path.iterdir()) == []


def test_objectives_of_another_report_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    assert main(["simulate", "--shape", "8x8x8", "--json", str(path)]) == 0
    capsys.readouterr()
    line = refused(["report", str(path), "--out", str(tmp_path / "p.html"), "--objectives", "cycles,pes"], capsys)
    assert "--objectives: option of sweeps" in line


def test_every_unit_is_of_figures_that_a_sweep_has() -> None:
    known = [*figures.WHOLE, *figures.HARDWARE, *(f"prefill.{name}" for name in figures.PHASE), "hw.freq_hz",
             "hw.dram_bytes_per_s", "hw.memory.bytes_per_s"]
    found = {name: sweep._unit(name)[0] for name in known}
    assert {unit for unit, *_ in map(sweep._unit, known)} == {"", *(unit for _, unit, _ in sweep._UNITS)}
    assert found["tops_per_w"] == found["cycles"] == found["macs_per_byte"] == ""
    assert found["hw.dram_bytes_per_s"] == "B/s" and found["prefill.energy_j_per_unit"] == "J"
