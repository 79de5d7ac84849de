"""Tables and notes as text: what fits, what is folded, and what a terminal gets."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from stamp_hw import text
from stamp_hw.cli.show import show
from stamp_hw.text import align, folded


def test_a_table_that_fits_is_one_with_equal_columns() -> None:
    assert align(("layer", "dB"), [("q", "1.5"), ("down", "-10.25")]) == (
        "layer      dB\n─────  ──────\nq         1.5\ndown   -10.25")


def test_a_wide_table_is_folded_and_every_part_repeats_the_first_columns(rng: np.random.Generator) -> None:
    for _ in range(200):
        count, left = int(rng.integers(2, 20)), int(rng.integers(1, 3))
        header = [f"c{place}" for place in range(count + left)]
        rows = [["x" * int(rng.integers(1, 15)) for _ in header] for _ in range(3)]
        parts = align(header, rows, left, width=60).split("\n\n")
        assert all(len(line) <= 60 for part in parts for line in part.split("\n"))
        shown = [part.split("\n")[0].split() for part in parts]
        assert all(names[:left] == header[:left] for names in shown)
        assert [name for names in shown for name in names[left:]] == header[left:], "each other column once, in order"
        assert all(part.count("\n") == 4 for part in parts)
        again = [[cell for part in parts for cell in part.split("\n")[2 + line].split()[left:]] for line in range(3)]
        assert again == [row[left:] for row in rows]


def test_a_column_that_is_too_wide_has_a_table_of_its_own_and_loses_nothing() -> None:
    parts = align(("a", "b", "c"), [("1", "y" * 90, "z" * 90)], width=50).split("\n\n")
    assert [part.split("\n")[2].split()[1][0] for part in parts] == ["y", "z"]


def test_notes_are_folded_and_tables_are_left_alone() -> None:
    report = f"{'word ' * 30}end\n{'a':40}  {'b':70}|\n* {'warning ' * 20}"
    lines = folded(report, 100).split("\n")
    assert all(len(line) <= 100 for line in lines if "|" not in line) and any("|" in line for line in lines)
    assert " ".join(folded(report, 100).split()) == " ".join(report.split())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 140])
def test_a_terminal_decides_the_width_and_gets_the_same_words(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert text.columns() == columns
    report = align(("layer", *("column" for _ in range(12))), [("q", *("12" for _ in range(12)))])
    show(f"{report}\n* q: a warning")
    printed = sys.stdout.getvalue()
    plain = printed
    for code in ("\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert plain == f"{report}\n* q: a warning\n" and "\x1b[1mlayer" in printed and "\x1b[33m* q" in printed
    assert max(map(len, plain.split("\n"))) <= columns


def test_where_the_output_is_no_terminal_there_is_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    show("layer\n─────\n* q")
    assert capsys.readouterr().out == "layer\n─────\n* q\n"
