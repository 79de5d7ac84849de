"""`stamp-hw eval --jobs`: the figures of one process, window by window; errors and interrupts end them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw.cli.main import main
from stamp_hw.errors import StampError
from tests.support.eval_cases import llama, refused

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]
RUN = ("--length", "48", "--schemes", "a4,stamp", "--layers", "layers.1")


def report(path: Path, *argv: str) -> dict[str, Any]:
    assert main(["eval", *argv, "--json", str(path)]) == 0
    return dict(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("more", [RUN, ("--kv", "--length", "48", "--schemes", "a4,stamp")], ids=["layers", "cache"])
def test_windows_side_by_side_give_the_figures_of_one_after_the_other(more: tuple[str, ...], tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    one = report(tmp_path / "one.json", *llama(*more, windows=5))
    lines = capsys.readouterr().err
    three = report(tmp_path / "three.json", *llama(*more, "--jobs", "3", windows=5))
    assert three["rows"] == one["rows"] and (one["cost"]["jobs"], three["cost"]["jobs"]) == (1, 3)
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        line.split(",")[0] for line in lines.splitlines()], "a line a window, in their order"


def test_prompts_side_by_side_draw_what_one_after_the_other_does(pipelines: dict[str, Path], tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red boat\nthe old town\n", "utf-8")
    run = ("--model", str(pipelines["pixart"]), "--prompts", str(prompts), "--size", "64", "--inference-steps", "1",
           "--schemes", "stamp")
    one, two = (report(tmp_path / f"{jobs}.json", *run, "--jobs", jobs) for jobs in ("1", "2"))
    assert one["rows"] == two["rows"] and one["rows"][-1]["picture_sqnr_db"] > 0


def test_a_run_of_several_processes_goes_on_behind_one_that_was_interrupted(tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """In the parent's order whatever the workers' is: the second window is ready last, and fails."""
    from models.evaluate import language

    real = language._window

    def window(*args: Any) -> Any:
        if args[5] == "window 3/4":
            raise StampError("no more", where="window 3")
        time.sleep(0.3 if args[5] == "window 1/4" else 0)
        return real(*args)

    out, whole = tmp_path / "out.json", report(tmp_path / "whole.json", *llama(*RUN, windows=4))
    with monkeypatch.context() as patch:
        patch.setattr(language, "_window", window)
        assert main(["eval", *llama(*RUN, "--jobs", "2", windows=4), "--json", str(out)]) == 2
    part = tmp_path / "out.json.partial"
    assert len(part.read_text("utf-8").splitlines()) == 1 + 2 and not out.exists()
    assert report(out, *llama(*RUN, "--jobs", "2", windows=4))["rows"] == whole["rows"] and not part.exists()


def test_an_error_in_a_worker_is_one_line_and_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    from models.evaluate import language

    def window(*args: Any) -> Any:
        (tmp_path / str(os.getpid())).touch()
        if args[5] == "window 2/6":
            raise StampError("a window went wrong", where="window 2", got=np.float32(2), expected="another")
        time.sleep(0 if args[5] == "window 1/6" else 300)
        return real(*args)

    real = language._window
    monkeypatch.setattr(language, "_window", window)
    begin = time.monotonic()
    assert main(["eval", *llama(*RUN, "--jobs", "2", windows=6), "--json", str(tmp_path / "out.json")]) == 2
    first, line = capsys.readouterr().err.splitlines()
    assert first.startswith("window 1 of 6") and time.monotonic() - begin < 200, "windows that sleep were waited for"
    assert line.startswith("stamp-hw: window 2: a window went wrong; got ")
    workers = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_process_that_is_ended_from_outside_is_one_line(monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    from models.evaluate import language

    monkeypatch.setattr(language, "_window", lambda *args: os.kill(os.getpid(), signal.SIGKILL))
    assert "a process was ended from outside" in refused(capsys, *llama(*RUN, "--jobs", "2", windows=3))


def test_what_cannot_run_side_by_side_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "several processes on one device" in refused(capsys, *llama("--jobs", "2", "--device", "cuda"))


_WAITS = """
import os, sys, time
from pathlib import Path
from models.evaluate import language
from stamp_hw.cli.main import main
real = language._window
def window(*args):
    if args[5] != "window 1/4":
        (Path(sys.argv[1]) / str(os.getpid())).touch()
        time.sleep(120)
    return real(*args)
language._window = window
sys.exit(main(["eval", *sys.argv[2:]]))
"""


def listen() -> None:
    """A shell starts what runs in its background deaf to interrupts, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["interrupt", "end", "kill"])
def test_no_process_outlives_the_main_one_and_what_was_done_is_kept(kind: signal.Signals, tmp_path: Path) -> None:
    """The signal goes to the main process alone, as `kill` sends it."""
    marks, out = tmp_path / "marks", tmp_path / "out.json"
    marks.mkdir()
    command = [sys.executable, "-c", _WAITS, str(marks), *llama(*RUN, "--jobs", "2", windows=4), "--json", str(out)]
    part = tmp_path / "out.json.partial"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=listen) as process:
        until = time.monotonic() + 300
        while (len(list(marks.iterdir())) < 2 or not part.exists()) and time.monotonic() < until \
                and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(kind)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == (130 if kind == signal.SIGINT else -kind)
    assert [line for line in err.splitlines() if not line.startswith("window ")] == (
        ["stamp-hw: interrupted"] if kind == signal.SIGINT else [])
    workers = [int(path.name) for path in marks.iterdir()]
    assert len(workers) == 2, err
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert len(part.read_text("utf-8").splitlines()) == 1 + 1 and not out.exists(), "the first window, whole"
    assert list(tmp_path.glob("*.json")) == []
