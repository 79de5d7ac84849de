"""Points of a sweep that are done stay, whatever ends it, and a sweep that goes on ends in the same bytes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.sweep import points, workers
from sim.sweep.kept import Kept
from stamp_hw.cli.main import main
from stamp_hw.errors import StampError
from tests.support.refusals import ROOT, files, refused
from tests.support.sweep_cases import SMALL, swept, write

#: Long enough to be ended in the middle: points of a few milliseconds.
POINTS = 3 * 61 * 4
LONG = """\
workload: {tokens: 2048, k: 1024, n: 4096}
together:
  - {hw.rows: [8, 16, 32], hw.cols: [8, 16, 32]}
axes:
  hw.act_slots: {from: 64, to: 1024, step: 16}
  job.n_hi: [0, 16, 128, 1/5]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of the small sweep, made in one go by one process."""
    folder = tmp_path_factory.mktemp("whole")
    swept(write(folder), folder / "out")
    return (folder / "out").read_bytes()


def words(folder: Path, *options: str) -> list[str]:
    return ["sweep", str(write(folder)), "--out", str(folder / "out"), *(options or ("--jobs", "1"))]


def ended(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> list[int]:
    """Make the work of a chunk raise once so many points are done; the points that are worked on, one a chunk."""
    seen: list[int] = []
    work = points.work

    def one(setting: str, chunk: str) -> tuple[float, str]:
        if len(seen) == after:
            raise error
        seen.extend(number for number, _, _ in json.loads(chunk)["points"])
        return 1.0, work(setting, chunk)[1]  # a second each, so that a chunk is one point

    monkeypatch.setattr(workers, "work", one)
    return seen


def test_two_processes_leave_the_bytes_of_one_and_nothing_else(tmp_path: Path, whole: bytes) -> None:
    swept(write(tmp_path), tmp_path / "out", "--jobs", "2")
    assert (tmp_path / "out").read_bytes() == whole and files(tmp_path) == {"small.yaml", "out"}


def test_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patch:
        ended(patch, 10, KeyboardInterrupt())
        assert main(words(tmp_path)) == 130
    assert files(tmp_path) == {"small.yaml", "out.partial"} and capsys.readouterr().err == "stamp-hw: interrupted\n"
    assert len((tmp_path / "out.partial").read_text().splitlines()) == 11
    with (tmp_path / "out.partial").open("a") as stream:
        stream.write('{"point":10,"val')  # the machine went off in the middle of a line
    seen = ended(monkeypatch, 99, KeyboardInterrupt())
    assert main(words(tmp_path)) == 0
    assert seen == list(range(10, 36))
    assert (tmp_path / "out").read_bytes() == whole and files(tmp_path) == {"small.yaml", "out"}


def test_a_finished_sweep_is_read_and_not_run(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another objective or a CSV costs nothing."""
    (tmp_path / "out").write_bytes(whole)
    ended(monkeypatch, 0, AssertionError())
    other = write(tmp_path, SMALL.replace("[cycles, energy_fj, pes]", "[tops_per_w]"))
    assert main(["sweep", str(other), "--out", str(tmp_path / "out"), "--csv", str(tmp_path / "csv")]) == 0
    assert (tmp_path / "out").read_bytes() == whole and files(tmp_path) == {"small.yaml", "out", "csv"}


def test_a_disk_that_is_full_is_one_error_and_keeps_what_is_done(tmp_path: Path, whole: bytes,
                                                                 monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """A file size limit stands for the disk; it falls in the middle of a line."""
    limit = len(b"".join(whole.splitlines(keepends=True)[:8])) - 20
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        ended(patch, 99, KeyboardInterrupt())
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            line = refused(words(tmp_path), capsys)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "out.partial: cannot write file; got File too large" in line and "points that are done are kept" in line
    left = b"".join(whole.splitlines(keepends=True)[:7])
    assert (tmp_path / "out.partial").read_bytes() == left and not (tmp_path / "out").exists()
    assert main(words(tmp_path)) == 0 and (tmp_path / "out").read_bytes() == whole


def test_a_disk_that_is_full_at_the_end_keeps_every_point(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Kept, "finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(words(tmp_path)) == 130
    capsys.readouterr()
    assert sorted((tmp_path / "out.partial").read_bytes().splitlines()) == sorted(whole.splitlines())
    seen = ended(monkeypatch, 0, AssertionError())
    assert main(words(tmp_path)) == 0 and not seen and (tmp_path / "out").read_bytes() == whole


@pytest.mark.parametrize(("old", "new", "key"), [
    ("act_slots: 64", "act_slots: 65", "base"), ("n: 40", "n: 41", "workload"), ("[a4, stamp]", "[stamp]", "schemes"),
    ("k: [64, 96, 200]", "k: [64, 96]", "points"), ("k: [64, 96, 200]", "k: [64, 96, 201]", "digest"),
    ("workload.k:", "workload.n:", "fields")])
@pytest.mark.parametrize("finished", [True, False])
def test_points_of_another_sweep_are_refused(old: str, new: str, key: str, finished: bool, tmp_path: Path, whole: bytes,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / ("out" if finished else "out.partial")
    there.write_bytes(whole)
    sweep = write(tmp_path, SMALL.replace(old, new))
    line = refused(["sweep", str(sweep), "--out", str(tmp_path / "out")], capsys)
    assert f"{there}: points of another sweep; got another {key}; expected another --out, or the file removed" in line
    assert there.read_bytes() == whole and files(tmp_path) == {"small.yaml", there.name}


def test_points_that_other_code_has_costed_are_refused(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.partial").write_bytes(whole)
    monkeypatch.setattr(points, "code_here", lambda: "0" * 64)
    assert "points of another sweep; got another code" in refused(words(tmp_path), capsys)


@pytest.mark.parametrize(("content", "said"), [
    (b"held by the user\n", "a file of another kind"), (b"held by the user", "a file of another kind"),
    (b"[1]\n", "a file of another kind"), (b"\xff\xfe\n", "a file of another kind")])
@pytest.mark.parametrize("name", ["out", "out.partial"])
def test_a_file_of_another_kind_is_left_alone(content: bytes, said: str, name: str, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refused(words(tmp_path), capsys)
    assert (tmp_path / name).read_bytes() == content and files(tmp_path) == {"small.yaml", name}


def test_a_damaged_line_is_refused(tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out.partial").write_bytes(b"".join([*lines[:3], b'{"point":2,\n', *lines[4:]]))
    assert "damaged points of a sweep" in refused(words(tmp_path), capsys)


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    first = Kept(tmp_path / "out", {"points": 2}, 2)
    first.add(['{"point":1}'])
    with pytest.raises(StampError, match="another sweep is writing this file"):
        Kept(tmp_path / "out", {"points": 2}, 2)
    first.close()
    again = Kept(tmp_path / "out", {"points": 2}, 2)
    assert again.lines == {1: '{"point":1}'}
    again.close()


def test_what_other_workers_have_done_is_kept_when_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both chunks are done when the first is looked at."""
    from concurrent.futures import Future

    from sim.sweep import run, spec

    class Two:
        def __init__(self) -> None:
            self.given: list[Future[Any]] = []

        def slots(self) -> int:
            return 2

        def submit(self, setting: str, chunk: str) -> Future[Any]:
            self.given.append(Future())
            if len(self.given) == 2:
                self.given[0].set_exception(StampError("a worker failed"))
                self.given[1].set_result(points.work(setting, chunk))
            return self.given[-1]

    plan = run.plan(spec.read(write(tmp_path)))
    kept = Kept(tmp_path / "out", plan.head, 36)
    with pytest.raises(StampError, match="a worker failed"):
        run.run(plan, Two(), kept, lambda line: None)
    kept.close()
    assert set(kept.lines) == {1} and len((tmp_path / "out.partial").read_text().splitlines()) == 2


def test_a_mistake_of_ours_at_one_point_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = points.figures.of

    def wrong(run: Any, scheme: str) -> dict[str, Any]:
        return {} if run.config.hw.rows == 8 and {}["nothing"] else of(run, scheme)

    monkeypatch.setattr(points.figures, "of", wrong)
    found = swept(write(tmp_path), tmp_path / "out", code=3)
    broken = {point["values"]["hw.rows"] for point in found for figures in point["schemes"].values()
              if "a mistake of stamp-hw: KeyError: 'nothing'" in figures.get("error", "")}
    assert len(found) == 36 and broken == {8}


# --- processes that are ended from outside ---------------------------------------------------------------------------

def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A long sweep in a process of its own, of which some points are done."""
    sweep = write(folder, LONG, "long.yaml")
    process = subprocess.Popen([sys.executable, "-m", "stamp_hw", "sweep", str(sweep), "--out", str(folder / "out"),
                                *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: done(folder) > 40)
    assert process.poll() is None
    return process


def done(folder: Path) -> int:
    partial = folder / "out.partial"
    return len(partial.read_bytes().splitlines()) if partial.exists() else 0


def until(there: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not there():
        assert time.monotonic() < limit
        time.sleep(0.02)


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in listed.read_text().split()]


def test_a_killed_process_of_the_sweep_is_one_error_and_what_is_done_stays(tmp_path: Path) -> None:
    process = started(tmp_path, "--jobs", "2")
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and "--jobs: a process was ended from outside" in said
    assert "Traceback" not in said and done(tmp_path) > 40


def test_workers_leave_with_the_process_that_they_work_for(tmp_path: Path) -> None:
    process = started(tmp_path, "--jobs", "2")
    own = children(process.pid)
    assert len(own) == 2
    process.kill()
    process.communicate(timeout=120)
    until(lambda: not any(alive(worker) for worker in own))
    assert done(tmp_path) > 40 and not (tmp_path / "out").exists()


def alive(process: int) -> bool:
    """Running, and not a dead one that nobody has buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
