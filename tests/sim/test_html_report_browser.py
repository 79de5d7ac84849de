"""The report's page in a real browser: no message on its console, no wider than its window, sorted by mouse and keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.tools import browser, report_shots
from docs.tools.browser import Page
from sim.report import page, read
from tests.support import report_cases
from tests.support.sweep_cases import swept, write

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no chromium on the PATH (Debian's package chromium)")
TABLE = "document.querySelector('#layers table')"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    trace = folder / "trace.json"
    assert report_cases.command("simulate", toy, "--json", trace) == 0
    for kind, report in {"trace": trace, **{kind: report_cases.write(kind, folder)
                                            for kind in report_cases.WORDS}}.items():
        found[kind] = folder / f"{kind}.html"
        found[kind].write_text(page.render(read.read(report)), encoding="utf-8")
    swept(write(folder), folder / "sweep.out")
    found["sweep"] = folder / "sweep.html"
    found["sweep"].write_text(page.render(read.read(folder / "sweep.out")), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def shown() -> Iterator[Page]:
    with browser.browser() as one:
        yield one


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", report_shots.WIDTHS)
@pytest.mark.parametrize("kind", ["trace", *report_cases.WORDS, "sweep"])
def test_a_page_fits_its_window_and_says_nothing_on_the_console(kind: str, width: int, dark: bool,
                                                                files: dict[str, Path], shown: Page) -> None:
    shown.open(files[kind], width, 900, dark=dark)
    assert report_shots.wrong(shown, width) == []
    paper = shown.value("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 24, 30)" if dark else "rgb(255, 255, 255)")
    assert shown.value("document.querySelectorAll('figure svg[role=img]').length") >= (1 if kind == "sweep" else 4)
    words = "[...document.querySelectorAll('figure svg[role=img] text')].filter(t => t.getBBox().width > 0).length"
    assert shown.value(words) >= (6 if kind == "sweep" else 8)


def test_what_is_wrong_with_a_page_is_seen(tmp_path: Path, shown: Page) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<!doctype html><p style='width: 2000px'>wide</p><script>console.error('oh'); none()</script>",
                      encoding="utf-8")
    shown.open(broken, 390, 900)
    found = " ".join(report_shots.wrong(shown, 390))
    assert "oh" in found and "exception" in found and "pixels wide" in found


def test_a_press_on_a_heading_sorts_by_it_and_another_the_other_way(files: dict[str, Path], shown: Page) -> None:
    shown.open(files["model"], 1280, 900)
    headings = shown.value(f"[...{TABLE}.querySelectorAll('thead th')].map(h => h.textContent)")
    place = headings.index("cycles")
    values = f"[...{TABLE}.tBodies[0].rows].map(r => Number(r.children[{place}].dataset.value))"
    button = f"{TABLE}.querySelectorAll('thead button')[{place}]"
    sort = f"[...{TABLE}.querySelectorAll('thead th')].map(h => h.getAttribute('aria-sort'))"
    before = shown.value(values)
    assert before not in (sorted(before), sorted(before, reverse=True)) and len(before) > 20
    shown.value(f"{button}.click()")
    assert shown.value(values) == sorted(before)
    assert shown.value(sort) == ["ascending" if at == place else "none" for at in range(len(headings))]
    shown.value(f"{button}.focus()")
    for key, expected in ((" ", sorted(before, reverse=True)), ("Enter", sorted(before))):
        shown.press(key)
        assert shown.value(values) == expected
    assert shown.value(f"document.activeElement === {button}")


def test_the_points_of_a_sweep_are_sorted_by_what_they_cost(files: dict[str, Path], shown: Page) -> None:
    shown.open(files["sweep"], 1280, 900)
    table = "document.querySelector('#points table')"
    headings = shown.value(f"[...{table}.querySelectorAll('thead th')].map(h => h.textContent)")
    place = next(number for number, heading in enumerate(headings) if heading.startswith("energy, "))
    values = f"[...{table}.tBodies[0].rows].map(r => Number(r.children[{place}].dataset.value))"
    before = shown.value(values)
    shown.value(f"{table}.querySelectorAll('thead button')[{place}].click()")
    assert shown.value(values) == sorted(before) != before and len(before) > 30


def test_words_sort_by_letters_equal_rows_keep_their_order_and_what_has_no_figure_goes_last(
        files: dict[str, Path], shown: Page) -> None:
    shown.open(files["model"], 1280, 900)
    headings = shown.value(f"[...{TABLE}.querySelectorAll('thead th')].map(h => h.textContent)")

    def column(name: str) -> list[str]:
        place = headings.index(name)
        return list(shown.value(f"[...{TABLE}.tBodies[0].rows].map(r => r.children[{place}].textContent)"))

    def press(name: str) -> None:
        shown.value(f"{TABLE}.querySelectorAll('thead button')[{headings.index(name)}].click()")

    pairs = list(zip(column("scheme"), column("operation"), strict=True))
    press("scheme")
    assert list(zip(column("scheme"), column("operation"), strict=True)) == sorted(pairs, key=lambda pair: pair[0])
    for _ in range(2):
        press("products a byte")
        dashes = [text == "–" for text in column("products a byte")]
        assert any(dashes) and dashes == sorted(dashes)


def test_a_printed_page_has_no_navigation_and_cuts_no_table(files: dict[str, Path], shown: Page) -> None:
    for file in files.values():
        shown.open(file, 1040, 720, media="print")
        assert shown.value("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert report_shots.wrong(shown, 1040) == []
    assert shown.paper().startswith(b"%PDF-")
