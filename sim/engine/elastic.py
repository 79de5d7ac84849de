"""Time of a pipeline with one enable: it stands still while an output beat waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Elastic:
    """Time of a pipeline with one enable.

    `take` : first real cycle, not before the given one, in which an output beat is taken
    `spare` : cycles that it still moves while one waits, which then is in a spare register
    """

    def __init__(self, take: Callable[[int], int], spare: int = 0) -> None:
        self._take, self._spare = take, spare
        self._stalls: deque[tuple[int, int]] = deque()  # (cycle of its own time, cycles that it stands still then)
        self._late = 0  # real time less its own time, behind all stalls that are gone
        self._latest = 0  # the same behind all stalls that are known

    def enter(self, cycle: int, least: int) -> int:
        """First cycle of its own time, at least `least`, that is an enabled one not before the real `cycle`."""
        while True:
            found = max(least, cycle - self._late)
            if not self._stalls or self._stalls[0][0] > found:
                return found
            at, stall = self._stalls.popleft()
            self._late += stall
            least = max(least, at)

    def real(self, time: int) -> int:
        """Real cycle of what `enter` found last."""
        return time + self._late

    def leave(self, time: int) -> int:
        """An output beat is valid from `time` on; beats leave in order. The real cycle in which it is taken."""
        offered = time + self._latest
        taken = self._take(offered)
        if taken > offered:
            self._latest += taken - offered
            self._stalls.append((time + self._spare, taken - offered))
        return taken

    def seen_from(self, time: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """(real cycle of `time` of its own but for the stalls that are to come, those stalls from that time on)."""
        return time + self._late, tuple((at - time, stall) for at, stall in self._stalls)

    def restore(self, time: int, cycle: int, stalls: tuple[tuple[int, int], ...]) -> None:
        """What `seen_from` said, for a `time` that is the real `cycle`."""
        self._late = cycle - time
        self._stalls = deque((at + time, stall) for at, stall in stalls)
        self._latest = self._late + sum(stall for _, stall in stalls)
