"""Plays the jobs of a prefill in several simulator processes, and hands each result on as it comes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stamp_hw.config import NpuConfig
from stamp_hw.engine.params import EngineParams
from tb.bench.layout import Port
from tb.prefill import bench
from tb.prefill.pieces import Piece, total, words_path
from tb.prefill.queue import close, offer
from tb.prefill.results import FILE, read
from tb.run.block import BrokenBenchError, elaborate
from tb.run.fault import Fault
from tb.run.processes import pool
from tb.run.simulator import LONG_RUN, MAKE_FLAGS, Result, simulate
from tb.run.simulator import build as build_simulator

TOP = "stamp_engine"
LONG = 2_000_000_000  # products from which on the compiler's time is worth it
_POLL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The simulator of a configuration's hardware: `files` of Verilog, `ports` of the top, `make` as of
    `simulator.build`; below `root` it is built and runs."""

    config: NpuConfig
    files: Mapping[str, str]
    ports: Sequence[Port]
    root: Path
    make: str = MAKE_FLAGS

    @classmethod
    def of(cls, config: NpuConfig, root: Path, products: int, fault: Fault | None = None) -> Engine:
        """For so many products; `fault` is a mistake to seed. Nothing is built yet."""
        files, ports = elaborate(bench, EngineParams.of(config.hw), TOP, fault)
        return cls(config=config, files=files, ports=ports, root=root,
                   make=LONG_RUN if products >= LONG else MAKE_FLAGS)

    def build(self) -> float:
        """Build, unless that is done; seconds spent. Raises as `simulator.build`."""
        return build_simulator(self.files, TOP, "", self.root, make=self.make)[1]

    def run(self, queue: Path, results: Path, answers: Path | None = None) -> Result:
        """One process, which plays what it takes from a queue; the words that the hardware gave go into the folder
        `answers`, where one is given. Raises BrokenBenchError where it broke."""
        result = simulate(self.files, TOP, bench.__name__, self.ports, EngineParams.of(self.config.hw), block="engine",
                          set_name="prefill", seed=0, root=self.root, make=self.make,
                          context={"config": self.config.to_dict(), "queue": str(queue), "results": str(results),
                                   "answers": None if answers is None else str(answers)})
        if not result.passed:
            raise BrokenBenchError(f"{' || '.join(result.failures) or 'no test ran'}; log: {result.log}")
        return result


def play(engine: Engine, pieces: Sequence[Piece], folder: Path, jobs: int) -> Iterator[dict[str, Any]]:
    """The result of each job as it comes; all are in `results.jsonl` of the folder as well, also where this is left.

    Raises BrokenBenchError where a simulator broke.
    """
    results = folder / FILE
    wanted = {piece.key for piece in pieces}
    with tempfile.TemporaryDirectory(dir=folder, prefix="queue.") as room:
        queue = Path(room) / "jobs"
        offer(pieces, queue)
        close(queue)
        seen = len(read(results))
        with pool(min(jobs, len(pieces))) as workers:
            left = {workers.submit(engine.run, queue, results) for _ in range(min(jobs, len(pieces)))}
            while left:
                done, left = wait(left, _POLL_S)
                lines = read(results)
                for line in lines[seen:]:
                    if line["key"] in wanted:
                        yield line
                seen = len(lines)
                for one in done:
                    one.result()


@contextmanager
def one_by_one(engine: Engine, room: Path) -> Iterator[Callable[[Piece], tuple[Mapping[str, Any], Path]]]:
    """A process that plays a job when it is given one; answers with its result and the path of the words that the
    hardware gave. It works in the folder `room`. Raises BrokenBenchError where it broke."""
    queue, results = room / "jobs", room / FILE
    offer([], queue)
    with pool(1) as workers:
        running = workers.submit(engine.run, queue, results, room)

        def played(piece: Piece) -> tuple[Mapping[str, Any], Path]:
            seen = len(read(results))
            offer([piece], queue)
            while len(lines := read(results)) == seen:
                if wait({running}, _POLL_S).done:
                    running.result()
                    raise BrokenBenchError(f"the simulator ended in front of {piece.layer}")
            return lines[-1], words_path(room, piece.layer)

        yield played
        close(queue)
        running.result()


class Progress:
    """A line for each result: what it found, how far the run is, and how long the rest takes at the rate so far, in so
    many processes."""

    def __init__(self, pieces: Sequence[Piece], done: int, jobs: int) -> None:
        self._count, self._done, self._jobs = len(pieces) + done, done, min(jobs, len(pieces))
        self._left, self._played, self._seconds = total(pieces), 0, 0.0

    def line(self, found: Mapping[str, Any]) -> str:
        """Of one more result."""
        self._done += 1
        self._left -= found["products"]
        self._played += found["products"]
        own = found["ended"] - found["began"]
        self._seconds += own
        rest = self._seconds * self._left / self._played / self._jobs
        part = f" {found['first']}…{found['first'] + found['channels'] - 1}" if found["first"] else ""
        return (f"{found['layer']}{part}: {found['words']} words, {found['mismatches']} differ; {found['cycles']} "
                f"cycles, {found['cycle_differences']} differ; {own:.0f} s; {self._done} of {self._count}, "
                f"{duration(rest)} left")


def duration(seconds: float) -> str:
    """`40 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
