"""Workers of a real Dask cluster on this machine leave the bytes of one process, also where one of them is killed; what
is wrong with a cluster is one line."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from sim.sweep import cluster as module
from stamp_hw.errors import StampError
from tests.sim.test_sweep_kept import LONG, POINTS, done, until
from tests.support.refusals import ROOT, files, refused
from tests.support.sweep_cases import swept, write

dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None,
                          reason="Dask is not installed: pip install 'stamp-hw[sweep]'")
#: A cluster without web pages; prints its address and its workers' processes, and lives until its input ends.
CLUSTER = """
import os, sys
from distributed import Client, LocalCluster
if __name__ == "__main__":
    count = int(sys.argv[1])
    with LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None) as found:
        with Client(found) as client:
            print(found.scheduler_address, *client.run(os.getpid).values(), flush=True)
        sys.stdin.read()
"""


class Cluster:
    """A running cluster: its `process`, `address` and the processes of its `workers`."""

    def __init__(self, folder: Path, count: int) -> None:
        (folder / "cluster.py").write_text(CLUSTER)
        with (folder / "cluster.log").open("w") as log:
            self.process = subprocess.Popen([sys.executable, str(folder / "cluster.py"), str(count)], text=True,
                                            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        self.address, *workers = self.process.stdout.readline().split()
        self.workers = [int(worker) for worker in workers]

    def close(self) -> None:
        """End it, its workers with it; it may have been killed."""
        self.process.communicate()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("cluster"), 2)
    yield found
    found.close()


def started(folder: Path, address: str) -> subprocess.Popen[str]:
    sweep = write(folder, LONG, "long.yaml")
    return subprocess.Popen([sys.executable, "-m", "stamp_hw", "sweep", str(sweep), "--out", str(folder / "out"),
                             "--scheduler", address], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


@dask
def test_a_cluster_of_which_a_worker_is_killed_leaves_the_bytes_of_one_process(tmp_path: Path, cluster: Cluster
                                                                               ) -> None:
    assert len(cluster.workers) == 2
    process = started(tmp_path, cluster.address)
    until(lambda: done(tmp_path) > 40)
    os.kill(cluster.workers[0], signal.SIGKILL)
    there = done(tmp_path)
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in said, said
    assert there < POINTS, "in the middle"
    swept(tmp_path / "long.yaml", tmp_path / "serial")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "serial").read_bytes()
    assert printed.startswith(f"long: {POINTS} points") and files(tmp_path) == {"long.yaml", "out", "serial"}


@dask
def test_a_scheduler_that_dies_is_one_line_and_what_is_done_stays(tmp_path: Path, cluster: Cluster) -> None:
    process = started(tmp_path, cluster.address)
    until(lambda: done(tmp_path) > 40)
    cluster.process.kill()
    _, said = process.communicate(timeout=300)
    lines = [line for line in said.splitlines() if " a second" not in line]
    assert process.returncode == 2 and lines == [f"stamp-hw: --scheduler {cluster.address}: the scheduler is gone; "
                                                 "expected it running; points that are done are kept"]
    assert done(tmp_path) > 40 and files(tmp_path) == {"long.yaml", "out.partial"}
    for worker in cluster.workers:  # whose nanny has gone with the scheduler
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            continue


@dask
def test_a_scheduler_without_workers_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 tmp_path_factory: pytest.TempPathFactory) -> None:
    found = Cluster(tmp_path_factory.mktemp("cluster"), 0)
    monkeypatch.setattr(module, "_WORKERS_S", 1)
    try:
        with pytest.raises(StampError, match="the scheduler has no workers"), module.cluster(found.address):
            pass
    finally:
        found.close()


@dask
def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "_CONNECT_S", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        words = ["sweep", str(write(tmp_path)), "--out", str(tmp_path / "out"), "--scheduler", address]
        assert f"--scheduler {address}: no scheduler answers" in refused(words, capsys)
    assert files(tmp_path) == {"small.yaml"}


@pytest.mark.parametrize(("error", "said"), [
    (CancelledError(), "the scheduler is gone"), (KeyError(), "workers died over the same points again and again")])
def test_what_becomes_of_workers_is_one_line(error: Exception, said: str) -> None:
    """`KeyError` stands for Dask's `KilledWorker`, which a worker's third death over a chunk is."""
    client = SimpleNamespace(get_executor=lambda pure: None)
    with pytest.raises(StampError, match=f"--scheduler tcp://a:1: {said}"):  # noqa: SIM117 the inner one raises it
        with contextmanager(module._used)(client, "tcp://a:1", KeyError):
            raise error


@dask
def test_dask_has_the_error_of_a_chunk_that_kills_its_workers() -> None:
    import distributed

    assert issubclass(distributed.KilledWorker, Exception)


@pytest.mark.parametrize("address", ["", "localhost", "localhost:8786", "http://localhost:8786", "tcp://localhost"])
def test_what_is_no_address_is_refused(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", str(write(tmp_path)), "--out", str(tmp_path / "out"), "--scheduler", address]
    assert "--scheduler: no address of a scheduler" in refused(words, capsys)
    assert files(tmp_path) == {"small.yaml"}


def test_without_dask_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ["sweep", str(write(tmp_path)), "--out", str(tmp_path / "out"), "--scheduler", "tcp://localhost:8786"]
    assert "--scheduler: Dask is not installed" in (line := refused(words, capsys))
    assert "expected pip install 'stamp-hw[sweep]'" in line and files(tmp_path) == {"small.yaml"}
