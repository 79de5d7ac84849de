"""`stamp-hw report`: the page of every kind of report is complete, safe, the same for the same report, and says no
figure that the report does not."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.report import names, page, read
from sim.report.axes import Linear, Log
from sim.report.figures import column, count, quantity
from sim.report.view import Bars, Roofline, Spread, Table, View
from stamp_hw.cli.main import main
from tests.support import report_cases
from tests.support.report_cases import Node, parsed

KINDS = ("trace", *report_cases.WORDS)
kinds = pytest.mark.parametrize("kind", KINDS)
HOSTILE = "</script></title><script>alert(1)</script>\"'&amp;<b onclick=x>\u202e\x00\ud800`${x}"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory, toy_report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("reports")
    found = {kind: report_cases.document(report_cases.write(kind, folder)) for kind in report_cases.WORDS}
    return {"trace": toy_report, **found}


@pytest.fixture(scope="module")
def pages(documents: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {kind: page.render(read.view_of(document, kind)) for kind, document in documents.items()}


def view(document: dict[str, Any]) -> View:
    return read.view_of(document, "report.json")


def parts(found: View, sort: type) -> list[Any]:
    return [part for section in found.sections for part in section.parts if isinstance(part, sort)]


@kinds
def test_the_same_report_gives_the_same_bytes_wherever_it_lies(
        kind: str, documents: dict[str, dict[str, Any]], pages: dict[str, str], tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "other place"):
        folder.mkdir()
        (folder / "x.json").write_text(json.dumps(documents[kind]), encoding="utf-8")
        assert main(["report", str(folder / "x.json"), "--out", str(folder / "page.html")]) == 0
        assert (folder / "page.html").read_text(encoding="utf-8") == pages[kind]
        assert [path.name for path in sorted(folder.iterdir())] == ["page.html", "x.json"]


@kinds
def test_a_page_loads_nothing_and_runs_nothing_but_its_own_script(kind: str, pages: dict[str, str]) -> None:
    root = parsed(pages[kind])
    assert "http" not in re.sub(r'http-equiv="', "", pages[kind])
    assert not re.search(r"\b(?:src|srcset|action|data|style|on\w+)=|@import|\burl\((?!#hatched-)|eval\(", pages[kind])
    anchors = {node.attributes["id"] for tag in ("section", "pattern") for node in root.all(tag)}
    links = [node.attributes["href"] or "" for tag in ("a", "link", "use") for node in root.all(tag)]
    assert all(link == "data:," or link[1:] in anchors and link[0] == "#" for link in links)
    (script,), (style,) = root.all("script"), root.all("style")
    policy = next(node.attributes["content"] or "" for node in root.all("meta")
                  if node.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src '{page._digest(script.text)}'" in policy and f"style-src '{page._digest(style.text)}'" in policy


@kinds
def test_a_page_is_built_for_who_hears_it_or_has_no_mouse(kind: str, pages: dict[str, str]) -> None:
    root = parsed(pages[kind])
    (html,) = root.all("html")
    assert html.attributes["lang"] == "en" and pages[kind].startswith("<!doctype html>\n")
    meta = [node.attributes for node in root.all("meta")]
    assert {"charset": "utf-8"} in meta and any(one.get("name") == "viewport" for one in meta)
    assert all(len(list(root.all(tag))) == 1 for tag in ("header", "nav", "main", "footer", "h1", "title", "script")
               if tag != "title")
    ids = [node.attributes["id"] for tag in ("section", "h2", "pattern") for node in root.all(tag)
           if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    assert all(node.attributes["aria-labelledby"] in ids for node in root.all("section"))
    for table in root.all("table"):
        (caption,), (head,) = table.all("caption"), table.all("thead")
        assert caption.text
        headings = list(head.all("th"))
        assert all(heading.attributes["scope"] == "col" for heading in headings)
        rows = [row for body in table.all("tbody") for row in body.all("tr")]
        assert rows and all(len([cell for cell in row.inside if isinstance(cell, Node)]) == len(headings)
                            for row in rows)
        if len(rows) >= 3:  # sorted by buttons, which a keyboard reaches
            assert all(heading.attributes["aria-sort"] == "none" and
                       [button.attributes["type"] for button in heading.all("button")] == ["button"]
                       for heading in headings)
    for box in (node for node in root.all("div") if node.attributes.get("class") == "scroll"):
        assert box.attributes["tabindex"] == "0" and box.attributes["aria-label"]
    drawings = [figure for figure in root.all("figure")]
    assert len(drawings) >= 4
    for drawing in drawings:
        (svg,) = (node for node in drawing.all("svg") if node.attributes.get("role") == "img")
        told = [item for item in svg.inside if isinstance(item, Node)][:2]
        assert [item.tag for item in told] == ["title", "desc"] and all(item.text for item in told)
        assert list(drawing.all("figcaption"))
    assert all(node.attributes.get("role") == "img" or node.attributes.get("aria-hidden") == "true"
               or "overflow" in node.attributes for node in root.all("svg"))


@kinds
def test_every_chart_and_every_table_of_figures_says_where_its_figures_come_from(
        kind: str, documents: dict[str, dict[str, Any]]) -> None:
    found = view(documents[kind])
    assert all(part.origin in names.ORIGINS for sort in (Bars, Roofline, Spread) for part in parts(found, sort))
    explained = {row[0].text for table in parts(found, Table) if table.columns[0] == "badge" for row in table.rows}
    used = {names.ORIGINS[part.origin][0] for section in found.sections for part in section.parts if part.origin}
    assert used <= explained
    assert [section.anchor for section in found.sections if section.anchor != "machines"] == [
        "summary", "cycles", "energy", "traffic", "roofline", "layers", "accuracy", "constants", "missing", "origins",
        "configuration"]


@kinds
def test_every_constant_stands_with_its_unit_node_source_and_basis_and_what_is_missing_is_said(
        kind: str, documents: dict[str, dict[str, Any]], pages: dict[str, str]) -> None:
    chosen, text = documents[kind]["energy_set"], parsed(pages[kind]).text
    (table,) = (table for table in parts(view(documents[kind]), Table) if table.columns[0] == "constant")
    rows = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert len(chosen["constants"]) >= 9
    for name, entry in chosen["constants"].items():
        assert rows[name][2:] == [entry[key] for key in ("unit", "node", "source", "prices", "basis")]
        values = entry["energy_pj"].values() if entry["axis"] else [entry["energy_pj"]]
        assert all(f"{value:g}" in rows[name][1] for value in values)
    for line in (*chosen["sources"].values(), *chosen["not_modelled"],
                 *documents[kind].get("workload", {}).get("not_included", ())):
        assert line in text
    for section in documents[kind]["config"].values():
        assert not isinstance(section, dict) or all(key in text for key in section)


@kinds
def test_the_charts_hold_every_cycle_byte_and_joule_of_the_report(kind: str, documents: dict[str, dict[str, Any]]
                                                                 ) -> None:
    document = documents[kind]
    if kind in ("trace", "shape"):
        wanted = [(t["cycles"], t["dram_bytes"], t["energy_pj"] / 1e12) for t in document["totals"].values()]
    else:
        schemes = document["schemes"].values() if kind == "model" else document["rows"]
        wanted = [(phase["cycles"], phase["dram_bytes"], phase["energy_fj"] / 1e15) for scheme in schemes
                  for phase in scheme["phases"].values()]
    found: dict[str, list[float]] = {}
    for bars in parts(view(document), Bars):
        found.setdefault(bars.kind, []).extend(sum(bar.values.values()) for group in bars.groups.values()
                                               for bar in group)
    assert Counter(found["cycles"]) == Counter(found["limits"]) == Counter(cycles for cycles, _, _ in wanted)
    assert Counter(found["bytes"]) == Counter(moved for _, moved, _ in wanted)
    assert sorted(found["energy"]) == pytest.approx(sorted(energy for *_, energy in wanted), rel=1e-8)


@kinds
def test_no_operation_lies_above_its_roof(kind: str, documents: dict[str, dict[str, Any]]) -> None:
    (chart,) = parts(view(documents[kind]), Roofline)
    assert len(chart.dots) >= 4
    peak, slope = max(rate for _, rate in chart.peaks), chart.slopes[0][1]
    assert all(dot.rate <= min(peak, slope * dot.intensity) * (1 + 1e-6) for dot in chart.dots)
    hw = documents[kind]["config"]["hw"]
    assert peak == 4 * hw["rows"] * hw["cols"] * hw["freq_hz"] and slope == hw["dram_bytes_per_s"]


def test_a_name_of_a_report_is_never_markup(documents: dict[str, dict[str, Any]]) -> None:
    def tags(text: str) -> Counter[str]:
        found: Counter[str] = Counter()

        def walk(node: Node) -> None:
            for item in node.inside:
                if isinstance(item, Node):
                    found[item.tag] += 1
                    walk(item)

        walk(parsed(text))
        return found

    def renamed(value: Any, new: str) -> Any:
        """Every text of a report but those that its shape hangs on."""
        if isinstance(value, dict):
            return {key: renamed(item, new) for key, item in value.items()}
        return [renamed(item, new) for item in value] if isinstance(value, list) else \
            new if isinstance(value, str) else value

    for kind, document in documents.items():
        if kind == "comparison":
            continue
        texts = []
        for new in ("plain", HOSTILE):
            changed = copy.deepcopy(document)
            if kind == "model":
                changed["workload"] = renamed(changed["workload"], new)
                for scheme in changed["schemes"].values():
                    scheme["phases"] = {new + name: {**phase, "ops": {new + op: item for op, item
                                                                      in phase["ops"].items()}}
                                        for name, phase in scheme["phases"].items()}
                changed["schemes"] = {new + name: item for name, item in changed["schemes"].items()}
                changed["accuracy"] = {"figure": new, "source": new, "schemes": {new: 1.0}}
            else:
                changed["layers"] = {new + name: item for name, item in changed["layers"].items()}
                for layer in changed["layers"].values():
                    for figures in layer.values():
                        figures["warnings"] = [{"kind": new, "severity": 1, "text": new}]
            changed["energy_set"]["constants"] = {
                name: {**entry, "basis": new, "source": "s"} for name, entry in
                changed["energy_set"]["constants"].items()}
            changed["energy_set"]["sources"] = {"s": new}
            texts.append(page.render(view(changed)))
        assert tags(texts[0]) == tags(texts[1])
        texts[1].encode("utf-8")
        assert "\x00" not in texts[1] and "\u202e" not in texts[1] and "<script>alert" not in texts[1]
        assert "</script></title><script>alert(1)</script>\"'&amp;<b onclick=x>" in parsed(texts[1]).text


def test_a_cause_that_nobody_knows_yet_keeps_its_own_name(documents: dict[str, dict[str, Any]]) -> None:
    changed = copy.deepcopy(documents["shape"])
    for figures in (*changed["totals"].values(), *(f for layer in changed["layers"].values() for f in layer.values())):
        figures["cycles_by_part"]["wait_moon"] = 7
        figures["bottleneck"] = "moon_phase"
    text = parsed(page.render(view(changed))).text
    assert "wait moon" in text and "moon phase" in text


def _figure(document: dict[str, Any], *path: Any) -> tuple[Any, Any]:
    """(container, key) of a value of a document; `0` takes the first of a mapping too."""
    value: Any = document
    for key in path[:-1]:
        value = value[list(value)[key]] if isinstance(value, dict) and isinstance(key, int) else value[key]
    return value, path[-1]


MISSING = "(left out)"  # a text, so that the names of tests are the same in every process
WRONG = [  # kind, path, what stands there instead, what the line says
    ("shape", ("schema_version",), 99, "another schema"),
    ("model", ("schema_version",), None, "another schema"),
    ("comparison", ("schema_version",), "1", "another schema"),
    pytest.param("model", ("schemes", 0, "phases", 0, "dram_bytes"), 10**400, "dram_bytes", id="beyond a float"),
    ("shape", ("energy_set",), MISSING, "not a report"),
    ("shape", ("config",), MISSING, "r.json: config: not a report that can be drawn; got nothing; expected this key"),
    ("shape", ("totals", 0, "cycles"), MISSING, "cycles"),
    ("shape", ("totals", 0, "cycles"), 0, "above 0"),
    ("shape", ("totals", 0, "cycles"), -4, "from 0 on"),
    ("shape", ("totals", 0, "cycles"), True, "from 0 on"),
    ("shape", ("totals", 0, "cycles"), "many", "from 0 on"),
    ("shape", ("totals", 0, "energy_pj"), 1e300, "from 0 on"),
    ("shape", ("layers", 0, "a8"), MISSING, "what totals has"),
    ("shape", ("totals", 0, "macs"), MISSING, "r.json: totals.a8.macs: "),
    ("shape", ("layers",), {}, "an object"),
    ("shape", ("layers", 0, 0, "dram_bytes_by_operand"), [], "an object"),
    ("trace", ("totals", 0, "sqnr_db"), "loud", "a number or null"),
    ("trace", ("calibration",), MISSING, "a text"),
    ("model", ("schemes", 0, "phases", 0, "units_per_s"), MISSING, "units_per_s"),
    ("model", ("schemes", 0, "phases", 0, "ops"), {}, "an object"),
    ("model", ("schemes", 1, "phases", 0, "ops", "qkv"), MISSING, "r.json: schemes.prefill.ops.a4: "),
    ("model", ("workload", "not_included"), "all", "a list"),
    ("model", ("energy_set", "constants", 0, "basis"), MISSING, "basis"),
    ("comparison", ("rows",), [], "one at least"),
    ("comparison", ("rows", 2, "phases"), MISSING, "r.json: rows[2].phases: "),
    ("comparison", ("rows", 0, "total", "energy_fj"), MISSING, "energy_fj"),
]


@pytest.mark.parametrize(("kind", "path", "value", "says"), WRONG, ids=str)
def test_a_report_that_cannot_be_drawn_is_refused_in_one_line_and_nothing_is_written(
        kind: str, path: tuple[Any, ...], value: Any, says: str, documents: dict[str, dict[str, Any]], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(documents[kind])
    holder, key = _figure(changed, *path)
    if value is MISSING:
        del holder[key]
    else:
        holder[key] = value
    line = refused(json.dumps(changed), tmp_path, capsys)
    assert says in line and line.startswith(f"stamp-hw: {tmp_path / 'r.json'}: "), "the file, a colon, the place in it"


@pytest.mark.parametrize(("path", "value", "says"), [
    (("memory", "kind"), MISSING, "memory.kind: "), (("memory", "latency_ns"), "long", "memory.latency_ns: "),
    (("memory", "sources"), {}, "memory.sources.bytes_per_s: "), (("config", "hw", "memory"), 5, "config.hw.memory: "),
    (("config", "hw", "memory", "efficiency"), 0, "above 0")])
def test_an_external_memory_that_cannot_be_drawn_is_refused_in_one_line(
        path: tuple[str, ...], value: Any, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "behind.json"
    assert main(["simulate", "--shape", "64x32x32", "--hw", "memory=LPDDR5", "--json", str(report)]) == 0
    changed = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    view(changed)
    holder, key = _figure(changed, *path)
    if value is MISSING:
        del holder[key]
    else:
        holder[key] = value
    assert says in refused(json.dumps(changed), tmp_path, capsys)


@pytest.mark.parametrize(("text", "says"), [
    ("", "not JSON"), ("{", "not JSON"), ("[1]", "not a report"), ('"x"', "not a report"), ("{}", "not a report"),
    ('{"schema_version": NaN}', "not finite"), ('{"a": 1, "a": 2}', "twice"), ("[" * 100_000, "deep"),
    ('{"rows": 1, "workload": 2, "orders_by_energy": 3}', "another schema"),
    ('{"layers": 1, "totals": 2, "energy_set": 3, "schema_version": 2}', "version"),
])
def test_what_is_no_report_is_refused_in_one_line(text: str, says: str, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert says in refused(text, tmp_path, capsys)


def test_a_figure_that_is_no_number_is_refused(documents: dict[str, dict[str, Any]], tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(documents["shape"])
    first = next(iter(documents["shape"]["totals"].values()))["cycles"]
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        assert "finite" in (line := refused(text.replace(f'"cycles": {first}', f'"cycles": {word}'), tmp_path, capsys)
                            ) or "from 0 on" in line


def refused(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that refuses a report of this text; what stood in the page's place still does."""
    report, out = folder / "r.json", folder / "page.html"
    report.write_text(text, encoding="utf-8")
    out.write_text("before", encoding="utf-8")
    capsys.readouterr()
    assert main(["report", str(report), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and len(printed.err) < 1200
    assert out.read_text(encoding="utf-8") == "before"
    assert sorted(path.name for path in folder.iterdir()) == ["page.html", "r.json"]
    return printed.err


def test_a_page_never_replaces_its_report_and_needs_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    report = tmp_path / "r.json"
    report.write_text("{}", encoding="utf-8")
    assert main(["report", str(report), "--out", str(report)]) == 2
    assert main(["report", str(tmp_path / "none.json"), "--out", str(tmp_path / "page.html")]) == 2
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "a" / "page.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 3
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_comparison_says_what_was_refused_and_what_was_measured(documents: dict[str, dict[str, Any]]) -> None:
    changed = copy.deepcopy(documents["comparison"])
    refused_row = changed["rows"][7]
    name = f"{refused_row['machine']} {refused_row['scheme']}"
    changed["rows"][7] = {**{key: refused_row[key] for key in ("machine", "scheme")}, "refusal": "lanes: no such block"}
    changed["accuracy"] = {"figure": "perplexity", "source": "perplexity measured on 9 tokens",
                           "rows": {"plain w4_stamp": 31.25, name: 99.75, "plain w4a4": None}}
    found = view(changed)
    text = parsed(page.render(found)).text
    assert "lanes: no such block" in text and "perplexity measured on 9 tokens." in text
    assert "31.25" in text and "99.75" not in text and name not in text
    (overview,) = (section for section in found.sections if section.anchor == "summary")
    assert len(overview.parts[0].rows) == len(changed["rows"]) - 1  # a phase


def test_figures_of_a_table_keep_three_digits_however_far_they_lie_apart() -> None:
    assert column([2e12, 3.456e9], "B") == ("TB", ["2.00", "0.00346"])
    assert column([2e12, 3.456e6, 0, None], "B") == ("", ["2.00 TB", "3.46 MB", "0", "–"])
    assert [quantity(value, "J") for value in (0.99996, 1234.0, 7.5e-16, 0)] == ["1.00 J", "1.23 kJ", "0.75 fJ", "0 J"]
    assert count(9_999, "cycles") == "9,999 cycles" and count(9_442_302_136, "cycles") == "9.44 G cycles"


@pytest.mark.parametrize("span", [1.0, 3.0, 1e2, 1e9, 1e40])
def test_an_axis_has_a_few_labels_inside_it(span: float, rng: np.random.Generator) -> None:
    low = 10 ** float(rng.uniform(-9, 9))
    logarithmic, linear = Log.around([low, low * span]), Linear.around([low, low * span])
    for axis in (logarithmic, linear):
        assert 1 <= len(axis.ticks()) <= 10
        assert all(-1e-9 <= axis.place(tick) <= 1 + 1e-9 for tick in axis.ticks())
        assert 0 < axis.place(low) < 1
