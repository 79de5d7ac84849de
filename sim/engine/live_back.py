"""Back of the engine, a cycle at a time: what `sim.engine.back` follows beat by beat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from sim.engine.array import Registers
from sim.engine.back import Lifting, departures
from stamp_hw.engine.params import EngineParams


class LiveBack:
    """One job from rest. Two pipelines in a row, each in its own time, which stands still while its output waits; the
    inverse unit's a cycle later, because a spare register takes that beat.

    `freed` is told the first cycle in which another pass's half of the output buffer is free.
    """

    def __init__(self, params: EngineParams, start: int, freed: Callable[[int], None]) -> None:
        self._unit, self._latency = params.inverse, params.finish.latency
        self._begin = Registers().start(start)
        self._freed = freed
        self._passes: deque[tuple[int, int, Lifting, bool]] = deque()  # (complete, beats of a token, job, pass's last)
        self._time = self._next = 0  # inverse unit: its time, and the first cycle of it in which it takes a job
        self._lifted: deque[tuple[int, bool]] = deque()  # its beats: (when at its output, the last of a pass)
        self._spare: bool | None = None  # the beat in the register behind it: the last of a pass or not
        self._moves = True  # whether its time goes on
        self._own = 0  # bias unit: its time
        self._due: deque[int] = deque()  # its beats: when at its output

    def lift(self, complete: int, beats: int, shapes: Sequence[Lifting]) -> None:
        """The lifting jobs of the next pass, complete from cycle `complete` on."""
        for number, shape in enumerate(shapes, 1):
            self._passes.append((complete, beats, shape, number == len(shapes)))

    @property
    def offers(self) -> bool:
        """Whether a result is offered in this cycle."""
        return bool(self._due) and self._due[0] == self._own

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way, and the inverse unit would take a job."""
        return (not self._passes and not self._lifted and self._spare is None and not self._due
                and self._time >= self._next)

    def step(self, cycle: int, ready: bool) -> bool:
        """The end of a cycle, in which results are taken or not; whether one was."""
        taken = self.offers and ready
        moves = taken or not self.offers
        beat = self._spare
        if beat is None and self._lifted and self._lifted[0][0] == self._time:
            beat = self._lifted.popleft()[1]
        if taken:
            self._due.popleft()
        if moves:
            if beat is not None:
                self._due.append(self._own + self._latency)
            if beat:
                self._freed(cycle + 1)
            self._own += 1
        if self._moves:
            self._lift(cycle)
        self._spare = None if moves else beat
        self._moves = moves or beat is None
        return taken

    def _lift(self, cycle: int) -> None:
        """The inverse unit's time goes on; it takes a job where there is one."""
        if self._passes and self._time >= self._next and cycle >= max(self._passes[0][0], self._begin):
            _, beats, shape, last = self._passes.popleft()
            issues, cycles = departures(*shape, beats, self._unit.min_slot_cycles)
            first = self._time + self._unit.job_cycles
            self._lifted.extend((at, False) for at in (first + self._unit.latency + issues).tolist())
            if last:
                self._lifted[-1] = (self._lifted[-1][0], True)
            self._next = first + cycles
        self._time += 1
