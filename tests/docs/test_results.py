"""README.md and the pages that are written from records: every figure comes from docs/results, none is typed by hand.

A figure is a number in the text of a page's template: outside the places that `make results` fills, of code, of the
targets of links, and of `NAMES`, which are numbers that name a thing or a setting and measure nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from docs.tools import figures, memories, peers, record, results
from stamp_hw.memory_config import KINDS
from tb.mutate.units import UNITS
from tb.run.blocks import blocks

NAMES = re.compile(r"""
    \b[48]-bit\b | \b[48]\ bits\b | \bat\ 8\b | \b[12]-D\b   # the two precisions, the two shapes of the transform
    | \b\d+\ ×\ \d+(\ ×\ \d+)? | \b\d+\ tokens\b              # sizes that a run was asked for
    | \b(?:blocks?|groups)\ of\ \d+\b                          # settings
    | \bPython\ 3\.\d+ | Apache-2\.0 | SmolLM2-135M | ECP5(-85F)? | \b45\ nm\b
    | ^\d\.\ | ^\|\ tokens\ \|.*$                             # numbers of a list; the head of the table by length
    """, re.VERBOSE | re.MULTILINE)
README = (results.ROOT / "README.md").read_text(encoding="utf-8")
# Pages that explain a command name its settings by number; a figure there has a unit, an error or decimals.
EXPLAIN = ("eval.md", "widths.md", "ablate.md", "simulate.md", "tune.md", "traces.md", "smollm2.md",
           "workloads.md", "asic.md", "silicon.md", "board.md")
FIGURE = re.compile(r"(?<![\w.])(?:\d[\d.,]*\s*(?:dB\b|%|LUTs?\b|flip-flops|±|MHz|pJ|nats|million|times\b)|\d+\.\d+)")
# Definitions and arithmetic; limits of the checks of smollm2.md; sizes of files in traces.md.
ALLOWED = {"eval.md": {"8 times", "10 times", "300 times", "4.5", "4.125"}, "widths.md": {"0.001 dB"},
           "ablate.md": {"2510.26771", "2404.00456", "2211.10438", "0.5"}, "simulate.md": {"10 dB", "25 dB", "0.9"},
           "smollm2.md": {"0.1", "2.0", "0.53", "0.00005", "0.005 %", "0.001 %", "3 %", "1.4", "8 times"},
           "workloads.md": set(), "asic.md": set(), "silicon.md": set(), "tune.md": set(), "board.md": set(),
           "traces.md": {"8 times", "4.5", "2.0", "3.11", "4.8", "5.2", "5.5", "6.9", "7.9", "9.0"}}
CODE = (r"```.*?```", r"^ {4}.*?$", r"`[^`]*`", r"\{\{|\}\}", r"\{[^{}]*\}",  # code and places
        r"\]\([^)]*\)[^|\n]*§[\d.]+", r"\]\([^)]*\)")                     # targets of links, and their sections
TEMPLATES = {page.name: template.read_text(encoding="utf-8") for page, template in results.PAGES.items()}
pages = pytest.mark.parametrize("page", TEMPLATES)


def bare(template: str) -> str:
    """A template without code, places, and targets of links."""
    for pattern in CODE:
        template = re.sub(pattern, "", template, flags=re.DOTALL | re.MULTILINE)
    return template


def typed(template: str) -> list[str]:
    """The figures that a template holds by itself."""
    return re.findall(r"(?<![A-Za-z\d])\d[\d.,]*", NAMES.sub("", bare(template)))


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every number and text in a record's figures."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield value, key


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", results.PAGES, ids=lambda page: page.name)
def test_a_page_is_what_make_results_writes_from_the_records(page: Any) -> None:
    assert page.read_text(encoding="utf-8") == results.pages()[page], "edit docs/tools/pages, run make results"


@pages
def test_no_figure_of_a_page_is_typed_by_hand(page: str) -> None:
    if page in EXPLAIN:
        assert set(FIGURE.findall(bare(TEMPLATES[page]))) <= ALLOWED[page]
    else:
        assert typed(TEMPLATES[page]) == []


@pytest.mark.parametrize("words", [
    "gains 3.3 dB", "× 1.031", "99.1 % of", "16,090 LUTs", "in 23 million words", "| 12 dB |", "129 of 129", "69.1 MHz",
    "8 mismatches", "2 × faster"])
def test_a_figure_that_is_typed_by_hand_is_recognized(words: str) -> None:
    assert typed(f"{TEMPLATES['README.md']}\n{words}\n") != []


@pytest.mark.parametrize("words", ["gains 3.3 dB", "9 dB of", "16,090 LUTs", "62.1 ± 0.3", "KL is 0.0714", "| 57.26 |"])
def test_a_typed_figure_of_a_page_that_explains_is_recognized(words: str) -> None:
    assert FIGURE.findall(bare(f"{TEMPLATES['eval.md']}\n{words}\n")) != FIGURE.findall(bare(TEMPLATES["eval.md"]))


def test_a_page_with_one_other_digit_is_found() -> None:
    """Each digit of a record's figure that is shown, one at a time, in a copy of the records."""
    known, shown = results.records(), 0
    template = "".join(TEMPLATES.values())
    right = results.render(template, known)
    for one in known.values():
        for holder, key in leaves(one["figures"]):
            if isinstance(holder[key], int | float):
                kept = holder[key]
                holder[key] = kept * 1.5 + 2
                shown += results.render(template, known) != right
                holder[key] = kept
    assert results.render(template, known) == right and shown > 200


@pytest.mark.parametrize("name", results.records())
def test_a_record_says_how_when_and_what_it_was(name: str) -> None:
    one = results.records()[name]
    assert set(one) <= {"command", "date", "provenance", "seed", "figures"} and one["figures"]
    assert re.match(r"([A-Z_]+=\w+ )*(stamp-hw|make|python -m) ", one["command"])
    assert date.fromisoformat(one["date"]) <= date.today()
    assert one["provenance"] and set(one["provenance"]) <= set(results.PROVENANCE)
    assert f"{{{name}[" in "".join(TEMPLATES.values()), "a record that no page shows"
    assert name in record.REPORTS or name in record.PRINTED, "no report is behind it"


def test_a_report_of_a_part_is_not_taken() -> None:
    for take, part in ((figures.mutate, {"units": {"axi": {}}, "errors": []}), (figures.formal, {"properties": []}),
                       (figures.reference, {"tests": {"tests/stamp_hw/test_golden.py::test_a": {"cases": 9}}}),
                       (figures.faults, {"faults": []}),
                       (figures.coverage, {"blocks": {"mac": {}}, "errors": []}),
                       (figures.regress, {"cases": 499, "flushes": 1000}),
                       (figures.prefill, {"layers": 210, "model_layers": 211, "chained": {}, "failures": []}),
                       (figures.prefill, {"layers": 211, "model_layers": 211, "chained": None, "failures": []}),
                       (figures.prefill, {"layers": 211, "model_layers": 211, "chained": {}, "failures": ["x"]}),
                       (figures.fpga, {"seeds": [{}]}),
                       (peers.beside, {"scalesim": {"runs": []}, "zigzag": {"products": dict.fromkeys("1234567")}}),
                       (figures.predictors, {"rows": [{}] * 11}),
                       (figures.evaluation, {"kind": "text", "windows": 4, "rows": [
                           {"scheme": name} for name in ("a4", "first_n", "stamp")]})):
        with pytest.raises(figures.NotTakenError):
            take(part)  # type: ignore[operator]


def test_the_report_of_a_whole_run_is_taken_with_its_minutes() -> None:
    block = {"line": 60, "branch": 40, "waived": 1, "port_toggles": 50, "port_toggles_hit": 49, "words": 7, "cycles": 9}
    taken = figures.coverage({"blocks": dict.fromkeys(blocks(), block), "errors": [], "seconds": 90})
    assert taken["all"]["points"] == 100 * len(blocks()) and (taken["most_waived"], taken["minutes"]) == (0.01, 1.5)
    unit = {"mutants": 9, "killed": 7, "equivalent": 1, "survived": 1, "score": 7 / 8}
    taken = figures.mutate({"units": dict.fromkeys([one.name for one in UNITS], unit), "total": unit, "errors": [],
                            "seconds": 90})
    assert (taken["all"]["matter"], taken["minutes"]) == (8, 1.5)


@pytest.mark.parametrize("name", record.QUICK)
def test_a_record_that_takes_seconds_is_what_its_command_says_today(name: str, tmp_path: Path) -> None:
    record.printed(*record.QUICK[name], "--json", str(tmp_path / "report.json"))
    take = record.REPORTS[name][3]
    fresh = take(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    assert fresh == results.records()[name]["figures"], "run make results"


@pytest.mark.parametrize("name", ["printed_simulate", pytest.param("printed_verify", marks=pytest.mark.rtl)])
def test_the_readme_shows_what_its_commands_print(name: str) -> None:
    words, lines, _, columns = record.PRINTED[name]
    assert "\n".join(record.reproducible(record.chosen(record.printed(*words), lines), columns)) in README
    assert f"\nstamp-hw {' '.join(words)}\n" in README


def test_the_readme_has_at_most_700_words() -> None:
    assert len(README.split()) <= 700  # as `wc -w` counts, bars of tables among them


@pytest.mark.parametrize("word", ["coefficient", "headroom", "beat", "sink", "super-tile", "waive", "n_hi", "first_n"])
def test_the_readme_uses_no_word_that_it_does_not_explain(word: str) -> None:
    assert word not in prose(README).lower()


def test_every_memory_has_a_line_a_constant_and_what_nobody_verified_is_marked() -> None:
    rows = [line.strip("| ").split(" | ") for line in memories.table().splitlines()]
    assert set(memories.BESIDE) == set(KINDS)
    for kind, constants in KINDS.items():
        own = {what: (value, said, source) for one, what, value, said, source in rows if one == kind}
        assert {f"`{name}`" for name in constants} < set(own)
        assert any(what.startswith("suppl") for what in own)
        for name, (value, source) in constants.items():
            assert own[f"`{name}`"][0] == f"{value:g}" and own[f"`{name}`"][2] == source
    for _, what, _, said, source in rows:
        assert said in ("cited", "cited, in part assumed", "assumed", "**no**: quoted"), what
        assert ("assumed" in said) == ("assumed" in source) and ("quoted" in said) == ("not read" in source), source
        assert "assumed" in said or re.search(r"JESD|\b(19|20)\d\d\b|no year|arXiv|Wikipedia", source), source
