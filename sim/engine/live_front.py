"""Front of the engine, a cycle at a time: what `sim.engine.front` and `sim.engine.rotated` follow token by token."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sim.engine.front import Lifting
from sim.engine.rotated import BEGIN
from stamp_hw.engine.job import EngineJob
from stamp_hw.hadamard_params import HadamardParams

UNKNOWN = 1 << 60  # a cycle that hangs on what has not happened yet


class LiveFront:
    """The lifting unit of one job. `asks`: first cycle in which it takes the next beat, UNKNOWN while a half of the
    activation buffer must become free first, and when all is taken."""

    def __init__(self, lifting: Lifting) -> None:
        self._lifting = lifting
        self._taken: list[int] = []
        self._freed: Sequence[int] = ()
        self._next(next(lifting))

    def _next(self, token: tuple[int | None, int, int]) -> None:
        self._opens, self._earliest, self._beats = token
        self._taken = []
        self.free(self._freed)

    def free(self, freed: Sequence[int]) -> None:
        """Of each super-tile that is over, when its half is free: that of the next but one."""
        self._freed = freed
        if not self._taken:
            before = -1 if self._opens is None else self._opens - 2
            self.asks = (self._earliest if before < 0 else UNKNOWN if before >= len(freed)
                         else max(self._earliest, freed[before]))

    def take(self, cycle: int) -> bool:
        """A beat; whether it was a token's last."""
        self._taken.append(cycle)
        if len(self._taken) < self._beats:
            self.asks = cycle + 1
            return False
        try:
            self._next(self._lifting.send(self._taken))
        except StopIteration:
            self.asks = UNKNOWN
        return True


class LiveHadamard:
    """The Hadamard unit in front of it: one pipeline, whose time stands still while its output waits."""

    def __init__(self, params: HadamardParams, job: EngineJob, start: int) -> None:
        self._latency, self._block, self._begin = params.latency, params.block_beats, start + BEGIN
        self._in_beats, self._beats = job.in_beats, job.beats
        self._left = (job.n_sink + job.width * job.height) * job.beats  # beats that have not entered
        self._beat = self._entered = self._time = 0
        self._due: deque[int] = deque()  # when beats are at the output, in its own time

    def _moves(self, lifts: bool) -> bool:
        return lifts or not self._due or self._due[0] != self._time

    def wants(self, cycle: int, lifts: bool) -> bool:
        """Whether it takes a beat in this cycle, in which the lifting unit takes one or not."""
        return self._moves(lifts) and cycle >= self._begin and self._left > 0 and self._beat < self._in_beats

    def step(self, cycle: int, lifts: bool, taken: bool) -> bool:
        """The end of the cycle; whether the lifting unit took a beat."""
        if not self._moves(lifts):
            return False
        leaves = bool(self._due) and self._due[0] == self._time
        if leaves:
            self._due.popleft()
        if taken or self._left and cycle >= self._begin and self._beat >= self._in_beats:  # a beat, or what pads
            self._left -= 1
            self._entered += 1
            self._beat = (self._beat + 1) % self._beats
            if self._entered % self._block == 0:
                first = self._time + self._latency
                self._due.extend(range(first, first + self._block))
        self._time += 1
        return leaves
