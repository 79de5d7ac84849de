"""The named workloads of `tests/reference`: no figure changes unseen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.reference import make
from tests.reference.workloads import REFERENCES, SCHEMES

ADVICE = ("\nIf that is meant: a line in CHANGELOG.md that says why, then "
          "python -m tests.reference.make --because 'that line'")


def leaves(value: Any, *path: str) -> list[tuple[str, ...]]:
    """The paths of all numbers."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in leaves(inner, *path, key)]
    return [path]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the smallest file and of the changelog, which `make` writes in place of its own."""
    shutil.copy(make.path_of("drain"), tmp_path)
    shutil.copy(make.CHANGELOG, tmp_path)
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    monkeypatch.setattr(make, "CHANGELOG", tmp_path / make.CHANGELOG.name)
    return tmp_path / "drain.json"


def changed(path: Path, *keys: str) -> None:
    """One more at that place of a file."""
    document = inner = json.loads(path.read_text(encoding="utf-8"))
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] += 1
    path.write_text(json.dumps(document), encoding="utf-8")


def test_there_are_ten_and_each_has_a_file() -> None:
    assert len(REFERENCES) == 10
    assert {path.stem for path in make.FOLDER.glob("*.json")} == set(REFERENCES)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_named_workload_has_the_figures_that_it_had(name: str) -> None:
    if lines := make.changes(name):
        pytest.fail(f"{name}:\n  " + "\n  ".join(lines) + ADVICE, pytrace=False)


@pytest.mark.parametrize("name", REFERENCES)
def test_its_figures_add_up_and_the_changelog_has_the_reason(name: str) -> None:
    kept = make.kept(name)
    assert make.explained(kept["because"])
    for group in kept["figures"].values():
        assert tuple(group) == SCHEMES
        for one in group.values():
            assert one["cycles"] == sum(one["cycles_by_part"].values()) == sum(one["cycles_by_limit"].values())
            assert one["dram_bytes"] == sum(one["dram_bytes_by_operand"].values())
            assert one["energy_fj"] == sum(one["energy_fj_by_component"].values())


def test_every_changed_figure_is_told_with_both_values(copied: Path) -> None:
    assert make.changes("drain") == []
    for path in leaves(json.loads(copied.read_text(encoding="utf-8"))["figures"])[::7]:
        before = copied.read_bytes()
        changed(copied, "figures", *path)
        (line,) = make.changes("drain")
        assert line.startswith(": ".join(("figures", *path))) and " -> " in line
        copied.write_bytes(before)


def test_a_figure_of_another_workload_and_one_that_is_gone_are_told(copied: Path) -> None:
    document = json.loads(copied.read_text(encoding="utf-8"))
    document["hw"] = {"rows": 64}
    document["figures"]["other"] = {}
    copied.write_text(json.dumps(document), encoding="utf-8")
    assert [line.partition(":")[0] for line in make.changes("drain")] == ["hw"] * 3 + ["figures"]


def test_nothing_is_written_without_a_reason_that_the_changelog_has(copied: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    changed(copied, "figures", "2048,4096,4096", "stamp", "cycles")
    before = copied.read_bytes()
    assert make.main(["drain"]) == 1
    said = capsys.readouterr().out
    assert "stamp: cycles" in said and "--because" in said and copied.read_bytes() == before
    for reason in ("it is faster now, so that it is better", "cycles"):
        with pytest.raises(SystemExit) as stop:
            make.main(["drain", "--because", reason])
        assert stop.value.code == 2 and "CHANGELOG.md" in capsys.readouterr().err and copied.read_bytes() == before
    with pytest.raises(SystemExit):
        make.main(["train"])
    reason = "- The drain of a test is a cycle longer."
    make.CHANGELOG.write_text(f"# Changelog\n\n{reason}\n", encoding="utf-8")
    assert make.main(["drain", "--because", reason]) == 0
    assert make.changes("drain") == [] and make.kept("drain")["because"] == reason
    assert make.main(["drain"]) == 0
