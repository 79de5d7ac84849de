"""The proofs: quick ones run here, all of them in `make formal`; a proof that fails says so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from amaranth.hdl import Const, Module, Signal

from rtl_gen.haar.finish import Finish
from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError
from tb.commands import formal
from tb.formal import BOUND, PROVE, solver
from tb.formal.checker import Checker
from tb.formal.proof import settle
from tb.formal.queues import QueueOrder
from tb.formal.table import PROPERTIES
from tb.run.fault import Fault

QUICK = ("haar_finish_holds", "pe_sums_tight", "queue_order", "lifting_tokens")
KNOWN = {prop.name: prop for prop in PROPERTIES}


class Never(Checker):
    """The unit sends nothing, which is not so."""

    def check(self, m: Module) -> None:
        self.must(m, ~self.unit.o.valid)


class Nameless(Checker):
    """It asks for a signal that the unit does not have."""

    def check(self, m: Module) -> None:
        self.must(m, self.internal("nothing_of_this_name"))


class OnlyDeep(QueueOrder):
    """What is so of the proof's queue alone, seen once the cover has been reached: it has more than four words."""

    def check(self, m: Module) -> None:
        super().check(m)
        cycle = Signal(4)
        m.d.sync += cycle.eq(cycle + 1)
        self.must(m, (cycle != 5) | Const(self.params.depth > 4))


def test_every_property_has_a_name_of_its_own_and_says_what_holds() -> None:
    assert len(KNOWN) == len(PROPERTIES) and set(QUICK) < set(KNOWN)
    assert all(prop.says and prop.bug.why and prop.seconds > 0 for prop in PROPERTIES)


def test_the_page_names_every_property_and_says_which_are_bounded() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")
    proved, bounded = set(), set()
    for row in page.partition("| what is proved |")[2].partition("\n\n")[0].splitlines()[2:]:
        before, _, after = row.split("|")[2].partition("bounded ")
        proved |= set(re.findall(r"`(\w+)`", before))
        bounded |= set(re.findall(r"`(\w+)`", after))
    named = {one.name: one.mode for one in PROPERTIES if not one.name.endswith("_holds")}
    assert proved == {name for name, mode in named.items() if mode == PROVE}
    assert bounded == {name for name, mode in named.items() if mode == BOUND}


@pytest.mark.rtl
@pytest.mark.parametrize("name", QUICK)
def test_a_property_is_proved_its_cover_reached_and_its_bug_caught(name: str, tmp_path: Path) -> None:
    verdict = settle(KNOWN[name], tmp_path)
    assert not verdict.wrong and verdict.proved and 0 <= verdict.depth <= KNOWN[name].depth
    assert 1 <= verdict.cover <= KNOWN[name].cover and 1 <= verdict.bug <= KNOWN[name].bug_depth


@pytest.mark.rtl
@pytest.mark.parametrize(("change", "message"), [
    ({"cover": 2}, "a cover is not reached within 2 cycles"),
    ({"bug_depth": 1}, "bug ignore_ready is not seen within 1 cycles"),
])
def test_a_cover_or_a_bug_that_is_not_seen_is_no_success(change: dict[str, int], message: str, tmp_path: Path) -> None:
    assert settle(replace(KNOWN["haar_finish_holds"], **change), tmp_path).wrong == message


@pytest.mark.rtl
@pytest.mark.parametrize(("mode", "message"), [(PROVE, "no proof by induction"), (BOUND, "fails in cycle 3")])
def test_a_property_that_does_not_hold_is_no_success(mode: str, message: str, tmp_path: Path) -> None:
    prop = replace(KNOWN["haar_finish_holds"], mode=mode, depth=4, build=lambda params: Never(Finish(params)))
    verdict = settle(prop, tmp_path)
    assert not verdict.proved and verdict.wrong.startswith(message)


@pytest.mark.rtl
def test_a_bug_that_only_fails_because_its_hardware_does_is_no_success(tmp_path: Path) -> None:
    wrong = settle(replace(KNOWN["queue_order"], build=OnlyDeep), tmp_path).wrong
    assert wrong == "fails on the small hardware without bug forget_the_pop as well"


def test_a_bug_that_changes_nothing_is_no_success(tmp_path: Path) -> None:
    bug = Fault(name="none", block="haar", why="", patch=("rtl_gen.mac.pe.clears", lambda finished: Const(0)))
    wrong = settle(replace(KNOWN["haar_finish_holds"], bug=bug), tmp_path).wrong
    assert wrong == "ValueError: haar_finish_holds: bug none leaves the Verilog as it was"


@pytest.mark.rtl
def test_a_checker_that_cannot_be_built_is_a_verdict_and_the_others_get_theirs(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good = KNOWN["haar_finish_holds"]
    broken = replace(good, name="broken", build=lambda params: Nameless(Finish(params)))
    monkeypatch.setattr(formal, "PROPERTIES", (broken, good))
    monkeypatch.setattr(formal, "REPORT", tmp_path / "formal.json")
    monkeypatch.setattr(formal, "settle", partial(settle, root=tmp_path))
    assert main(["verify", "formal"]) == 3
    *_, first, second, reason, total, again = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in (first, second)] == [
        ["broken", "haar_finish", "NO"], ["haar_finish_holds", "haar_finish", "proved,"]]
    assert reason.startswith("wrong: broken: KeyError: 0 signals are called nothing_of_this_name; others:")
    assert total == "1 of 2 properties as they should be" and again == "again: stamp-hw verify formal broken"
    report = json.loads((tmp_path / "formal.json").read_text("utf-8"))
    first, second = report["properties"]
    assert report["seconds"] > 0
    assert first["wrong"].startswith("KeyError") and not second["wrong"]


def test_the_list_says_of_each_property_how_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "formal", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PROPERTIES)
    for prop, line in zip(PROPERTIES, lines, strict=True):
        how = "by induction" if prop.mode == PROVE else f"for {prop.depth} cycles"
        assert line.startswith(prop.name) and line.endswith(prop.says) and how in line


def test_an_unknown_property_and_a_missing_tool_end_in_one_line_and_code_2(capsys: pytest.CaptureFixture[str],
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ToolError("not found", where="z3-solver", expected="`pip install -e '.[formal]'`")

    assert main(["verify", "formal", "nothing_of_this_name"]) == 2
    monkeypatch.setattr(solver, "require", missing)
    assert main(["verify", "formal", "haar_finish_holds"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "nothing_of_this_name" in lines[0] and "z3-solver: not found" in lines[1]
    assert all("\n" not in line for line in lines)
