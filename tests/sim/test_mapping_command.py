"""`--mapping` of `stamp-hw simulate`, `compare` and `sweep`: searched super-tiles in every kind of report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.cost import energy
from sim.mapping.objective import OBJECTIVES, Objective
from sim.mapping.search import cost
from sim.task import Shape
from stamp_hw import schemes
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.formats.trace import Trace
from tests.support.refusals import refused
from tests.support.sweep_cases import swept, write

SHAPE, ARRAY = "1024x512x256", ("--hw", "rows=32", "--hw", "cols=32", "--hw", "act_slots=72")
SCHEMES = ("a8", "a4", "first_n", "stamp")


def report(folder: Path, *options: str) -> dict[str, Any]:
    path = folder / "report.json"
    assert main(["simulate", "--json", str(path), *options]) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_scheme_has_the_size_that_a_search_finds_for_it(objective: Objective, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    found = report(tmp_path, "--shape", SHAPE, *ARRAY, "--mapping", "searched", "--objective", objective)
    said = capsys.readouterr().out
    assert found["mapping"] == {"objective": objective} and "Super-tiles searched for the" in said
    config = NpuConfig.from_dict({"hw": {"rows": 32, "cols": 32, "act_slots": 72}})
    for scheme in SCHEMES:
        wanted = cost(Shape(name="", tokens=1024, k=512, n=256), schemes.configure(scheme, config),
                      energy.load("horowitz45"), 1, objective)
        figures = found["layers"][SHAPE][scheme]
        assert (figures["mapping"]["tile_width"], figures["mapping"]["tile_height"]) == wanted.size
        cycles = wanted.cycles
        assert (figures["cycles"], figures["super_tiles"]) == (cycles.total, cycles.super_tiles)
        assert f"{wanted.size[0]}x1" in said


def test_the_largest_are_the_default_and_say_nothing_of_a_search(tmp_path: Path) -> None:
    plain = report(tmp_path, "--shape", SHAPE, *ARRAY)
    assert plain == report(tmp_path, "--shape", SHAPE, *ARRAY, "--mapping", "largest")
    assert "mapping" not in plain and "mapping" not in plain["layers"][SHAPE]["stamp"]
    edp = report(tmp_path, "--shape", SHAPE, *ARRAY, "--mapping", "searched")
    assert edp["mapping"] == {"objective": "edp"} and edp["totals"]["a8"]["cycles"] < plain["totals"]["a8"]["cycles"]


def test_layers_of_a_trace_keep_their_accuracy(toy: Path, toy_report: dict[str, Any], tmp_path: Path) -> None:
    found = report(tmp_path, str(toy), "--mapping", "searched", "--objective", "energy")
    with Trace(toy) as trace:
        assert tuple(found["layers"]) == tuple(trace.layer_names)
    for name, by_scheme in toy_report["layers"].items():
        for scheme, wanted in by_scheme.items():
            figures = found["layers"][name][scheme]
            assert figures["sqnr_db"] == wanted["sqnr_db"] and figures["energy_pj"] <= wanted["energy_pj"]


@pytest.mark.parametrize("mapping", [(), ("--mapping", "largest")])
def test_an_objective_of_no_search_is_refused(mapping: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--shape", SHAPE, "--objective", "edp", *mapping]) == 2
    assert capsys.readouterr().err == (
        "stamp-hw: --objective edp: nothing is searched; expected --mapping searched with it\n")


def test_a_whole_model_costs_less_of_what_is_searched_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ("--model", "smollm2-135m", "--prefill", "200", "--decode", "3", "--hw", "act_slots=72")
    largest = report(tmp_path, *model)
    for objective, figure in (("cycles", "cycles"), ("energy", "energy_fj")):
        found = report(tmp_path, *model, "--mapping", "searched", "--objective", objective)
        assert found["mapping"] == {"objective": objective}
        assert "each scheme its own" in capsys.readouterr().out
        for scheme in SCHEMES:
            assert found["schemes"][scheme]["total"][figure] < largest["schemes"][scheme]["total"][figure]


def test_a_few_8_bit_tokens_that_take_a_tile_of_their_own_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                                   ) -> None:
    """64 tokens, two of 8 bits, are 33 rows on an array of 32: nearly twice the cycles of 32, whatever the mapping."""
    options = ("--shape", "64x1024x128", "--hw", "rows=32", "--mapping", "searched")
    found = report(tmp_path, *options)["layers"]["64x1024x128"]
    said = "n_hi = 2 takes 2 array tiles a column tile, 0 would take 1"
    assert found["stamp"]["mapping"] == {"tile_width": 64, "tile_height": 1, "array_tiles_a_column": 2,
                                         "n_hi_of_fewer_tiles": 0, "fewer_tiles": 1, "n_hi_of_as_many": 64}
    assert [notice["text"] for notice in found["stamp"]["warnings"]] == [said] and said in capsys.readouterr().out
    assert found["stamp"]["cycles"] > 1.7 * found["a4"]["cycles"] and found["a4"]["warnings"] == []
    # All tokens at 8 bits are paid for by their bits; and 33 rows of an array of 33 are one tile.
    assert found["a8"]["warnings"] == []
    options = ("--shape", "64x1024x128", "--hw", "rows=33", "--mapping", "searched")
    assert report(tmp_path, *options)["layers"]["64x1024x128"]["stamp"]["warnings"] == []


def test_a_comparison_costs_each_row_in_the_super_tiles_that_simulate_finds_for_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ("--prefill", "200", "--decode", "0", "--hw", "act_slots=72")
    path = tmp_path / "compare.json"
    totals = {}
    for objective in (None, *OBJECTIVES):
        words = () if objective is None else ("--mapping", "searched", "--objective", objective)
        assert main(["compare", "smollm2-135m", *model, "--json", str(path), *words]) == 0
        assert ("Super-tiles searched for the" in capsys.readouterr().out) == (objective is not None)
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found.get("mapping") == (None if objective is None else {"objective": objective})
        rows = {(row["machine"], row["scheme"]): row for row in found["rows"]}
        wanted = report(tmp_path, "--model", "smollm2-135m", *model, *words)["schemes"]
        for scheme, tokens in (("w4a8", "a8"), ("w4a4", "a4"), ("w4_first_n", "first_n"), ("w4_stamp", "stamp")):
            assert rows["plain", scheme]["total"] == wanted[tokens]["total"]
        totals[objective] = [row["total"] for row in rows.values()]
    for objective, figure in (("cycles", "cycles"), ("energy", "energy_fj")):
        pairs = [(one[figure], other[figure]) for one, other in zip(totals[objective], totals[None], strict=True)]
        assert all(one <= other for one, other in pairs) and any(one < other for one, other in pairs)


SWEEP = ("base: {hw: {rows: 32, cols: 32, act_slots: 72}}\nworkload: {tokens: 1024, k: 512, n: 256}\n"
         "schemes: [a8, stamp]")


@pytest.mark.parametrize("words", [
    ("simulate", "--shape", SHAPE, *ARRAY), ("simulate", "--model", "smollm2-135m", "--prefill", "8", "--decode", "0"),
    ("compare", "smollm2-135m", "--prefill", "8", "--decode", "0")], ids=lambda words: " ".join(words[:2]))
def test_a_page_says_what_was_searched_for(words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                           ) -> None:
    path, said = tmp_path / "r.json", "Super-tiles searched for the fewest cycles, each scheme its own."
    for mapping in ((), ("--mapping", "searched", "--objective", "cycles")):
        assert main([*words, *mapping, "--json", str(path)]) == 0
        assert main(["report", str(path), "--out", str(tmp_path / "p.html")]) == 0
        assert (said in (tmp_path / "p.html").read_text(encoding="utf-8")) == bool(mapping)
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**found, "mapping": {"objective": 7}}), encoding="utf-8")
    capsys.readouterr()
    line = refused(["report", str(path), "--out", str(tmp_path / "q")], capsys)
    assert "r.json: mapping.objective: not a report" in line


def test_points_of_a_sweep_are_costed_in_the_super_tiles_that_their_mapping_says(tmp_path: Path) -> None:
    sweep = write(tmp_path, f"{SWEEP}\naxes: {{mapping: [largest, cycles, energy, edp], job.n_hi: [8, 32]}}\n"
                            "objectives: [cycles, energy_fj]\n")
    found = swept(sweep, tmp_path / "out")
    assert len(found) == 8
    for point in found:
        word, n_hi = point["values"]["mapping"], point["values"]["job.n_hi"]
        words = () if word == "largest" else ("--mapping", "searched", "--objective", word)
        wanted = report(tmp_path, "--shape", SHAPE, *ARRAY, "--job", f"n_hi={n_hi}", *words)["totals"]
        for scheme, figures in point["schemes"].items():
            assert all(figures[name] == wanted[scheme][name] for name in ("cycles", "dram_bytes", "array_tiles"))
    assert len({point["schemes"]["a8"]["cycles"] for point in found}) > 1


def test_the_mapping_of_a_whole_sweep_is_its_files_or_the_command_lines(tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    plain = write(tmp_path, f"{SWEEP}\naxes: {{job.n_hi: [8]}}\n")
    own = write(tmp_path, f"{SWEEP}\nmapping: energy\naxes: {{job.n_hi: [8]}}\n", "own.yaml")
    runs = {}
    for name, sweep, words in (
            ("plain", plain, ()), ("largest", plain, ("--mapping", "largest")), ("own", own, ()),
            ("energy", plain, ("--mapping", "searched", "--objective", "energy")),
            ("back", own, ("--mapping", "largest")), ("edp", plain, ("--mapping", "searched"))):
        runs[name] = swept(sweep, tmp_path / name, "--jobs", "1", *words)
        assert ("Super-tiles searched for the" in capsys.readouterr().out) == (name in ("own", "energy", "edp"))
    assert runs["plain"] == runs["largest"] == runs["back"] != runs["own"] == runs["energy"]
    line = refused(["sweep", str(plain), "--out", str(tmp_path / "edp")], capsys)
    assert "points of another sweep; got another mapping" in line


@pytest.mark.parametrize(("text", "words", "said"), [
    ("mapping: searched\naxes: {job.n_hi: [8]}", (),
     "mapping: impossible value; got 'searched'; expected largest, or what is searched for: cycles, energy, edp"),
    ("axes: {mapping: [best]}", (), "no point of the sweep can be; got mapping: impossible value; got 'best'"),
    ("axes: {mappin: [edp]}", (), "no such field; got mappin; expected mapping?"),
    ("axes: {mapping: [edp]}\nobjectives: [mapping]", (), "no such objective; got mapping"),
    ("axes: {mapping: [edp]}", ("--mapping", "searched"), "--mapping searched: an axis has the mapping"),
    ("axes: {job.n_hi: [8]}", ("--objective", "edp"), "--objective edp: nothing is searched")])
def test_a_mapping_of_a_sweep_that_is_none_is_refused(text: str, words: tuple[str, ...], said: str, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    sweep = write(tmp_path, f"{SWEEP}\n{text}\n")
    assert said in refused(["sweep", str(sweep), "--out", str(tmp_path / "out"), "--jobs", "1", *words], capsys)
