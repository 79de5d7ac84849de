"""`stamp-hw eval` window by window: an interrupted run goes on, other settings do not mix, a line a window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stamp_hw.cli.main import main
from tests.support.eval_cases import LLAMA, llama, refused

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]
RUN = ("--length", "48", "--schemes", "stamp", "--layers", "layers.1", "--outliers", "0,5")


class Stop(BaseException):
    """An interruption."""


def rows(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text("utf-8"))["rows"])


def stop_behind(patch: pytest.MonkeyPatch, windows: int) -> list[int]:
    """Let an evaluation end behind so many windows that it runs; a number for each that it did."""
    from models.evaluate import language

    real, ran = language._window, []

    def window(*args: Any) -> Any:
        if len(ran) == windows:
            raise Stop
        ran.append(len(ran))
        return real(*args)

    patch.setattr(language, "_window", window)
    return ran


def test_an_interrupted_evaluation_goes_on_behind_its_last_whole_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                        capsys: pytest.CaptureFixture[str]) -> None:
    whole, out = tmp_path / "whole.json", tmp_path / "out.json"
    assert main(["eval", *llama(*RUN, windows=4), "--json", str(whole)]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("window ")] == [
        f"window {number} of 4" for number in (1, 2, 3, 4)], "a line a window where there is no terminal"
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_behind(patch, 2)
        main(["eval", *llama(*RUN, windows=4), "--json", str(out)])
    part = tmp_path / "out.json.partial"
    assert len(part.read_text("utf-8").splitlines()) == 1 + 2 and not out.exists()
    part.write_bytes(part.read_bytes() + b'{"loss": {"float": [1.0, 2')  # a line that was cut off
    with monkeypatch.context() as patch:
        ran = stop_behind(patch, 99)
        assert main(["eval", *llama(*RUN, windows=4), "--json", str(out)]) == 0
    assert len(ran) == 2 and rows(out) == rows(whole) and not part.exists()


def test_windows_of_other_settings_are_refused_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_behind(patch, 1)
        main(["eval", *llama(*RUN, windows=2), "--json", str(out)])
    part = tmp_path / "out.json.partial"
    before = part.read_bytes()
    capsys.readouterr()
    for more, key in ((("--schemes", "a4"), "schemes"), (("--length", "64"), "windows"),
                      (("--calibration", str(LLAMA / "calibration.txt")), "calibration")):
        words = [word for pair in zip(RUN[::2], RUN[1::2], strict=True) if pair[0] != more[0] for word in pair]
        said = refused(capsys, *llama(*words, *more, windows=2), "--json", str(out))
        assert f"windows of an unfinished evaluation whose {key} differs" in said and part.read_bytes() == before
    part.write_text("my notes\n")
    assert "not an evaluation in progress" in refused(capsys, *llama(*RUN, windows=2), "--json", str(out))
    assert part.read_text() == "my notes\n" and not out.exists()


def test_the_report_says_what_it_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert main(["eval", *llama(*RUN, windows=1), "--json", str(out)]) == 0
    cost = json.loads(out.read_text("utf-8"))["cost"]
    assert set(cost["cpu_s_a_window"]) == {"float", "weights", "stamp"} and min(cost["cpu_s_a_window"].values()) > 0
    assert cost["peak_mb"] > 100 and "Processor time of a window: float " in capsys.readouterr().out
