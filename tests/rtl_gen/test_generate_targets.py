"""Where generated Verilog may go: what is not an untouched result of ours stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rtl_gen.delivery import generate as generator
from stamp_hw.cli.main import main
from stamp_hw.errors import OutputError
from tests.support.generate_cases import LINE, SMALL, contents, generated


def edited(out: Path) -> None:
    (out / "stamp_pe.v").write_text((out / "stamp_pe.v").read_text() + "// mine\n")


def linked(out: Path) -> None:
    (out / "stamp_pe.v").rename(out.parent / "pe.v")
    (out / "stamp_pe.v").symlink_to(out.parent / "pe.v")


def listed(out: Path) -> None:
    """A manifest whose hashes are all right, of a file that is not ours."""
    for path in out.iterdir():
        path.unlink()
    (out / "thesis.txt").write_text("ten years")
    hashes = {"thesis.txt": hashlib.sha256(b"ten years").hexdigest()}
    text = generator.manifest(SMALL, {}, {"thesis.txt": "ten years"})
    assert hashes == json.loads(text)["files"]
    (out / "manifest.json").write_text(text)


@pytest.mark.parametrize(("change", "name"), [
    (edited, "stamp_pe.v"), (linked, "stamp_pe.v"), (listed, "thesis.txt"),
    (lambda out: (out / "notes").mkdir(), "notes"),
    (lambda out: (out / "vectors").mkdir(), "vectors"),
    (lambda out: (out / "away").symlink_to(out.parent), "away"),
    (lambda out: (out / "dangling").symlink_to("nowhere"), "dangling"),
    (lambda out: os.mkfifo(out / "pipe"), "pipe"),
])
def test_whatever_is_not_an_untouched_result_is_named_and_kept(change: Callable[[Path], None], name: str,
                                                              tmp_path: Path) -> None:
    out = tmp_path / "rtl"
    generator.write(out, generated(LINE))
    generator.check_target(out)
    change(out)
    before = sorted(out.rglob("*"))
    with pytest.raises(OutputError, match=f"got {name};"):
        generator.write(out, {"stamp_a.v": ""})
    assert sorted(out.rglob("*")) == before


@pytest.mark.parametrize("out", [".", "..", "../..", "inner/.."])
def test_the_current_folder_is_not_pulled_away(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one/two/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "one/two")
    assert main(["generate", "--out", out]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "the current folder or one around it" in error
    assert "expected a new folder whose parent is writable" in error


def test_targets_that_cannot_be_replaced_are_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                     capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "closed").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and real(path, mode))
    for out, message in (("/proc", "a mount point; expected a new folder whose parent is writable"),
                         (tmp_path / "loop", "loop"),
                         (tmp_path / "closed/rtl", "closed is not writable; expected a new folder whose parent is")):
        assert main(["generate", "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and message in error, error


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"generator": {"stamp-hw": "1"}, "files": 3}'])
def test_a_manifest_that_is_not_ours_opens_no_door(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(OutputError, match="not generated"):
        generator.check_target(tmp_path)


@pytest.mark.parametrize("below", ["", "/below", "/far/below"])
def test_a_target_at_or_below_a_file_is_refused_before_any_work(tmp_path: Path, below: str,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("keep")
    assert main(["generate", "--out", f"{tmp_path}/file{below}"]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1 and "Traceback" not in captured.err and not captured.out
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_while_writing_leaves_the_old_result_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "rtl"
    first = generated(LINE)
    generator.write(out, first)
    with pytest.raises(OutputError):
        generator.write(out, {"a.v": "", "a.v/b.v": ""})  # a folder cannot have a file's name
    assert contents(out) == first
    assert [path.name for path in tmp_path.iterdir()] == ["rtl"]
