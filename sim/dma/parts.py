"""Registers of the DMA, a cycle at a time. Who calls goes from the end of a path to its beginning: what stands in front
of a part has not moved when its `step` is called, and what is behind it has said whether it takes."""

from __future__ import annotations

from math import gcd


class Fifo:
    """`rtl_gen.dma.fifo`: how many words there are; `valid`: one is offered."""

    __slots__ = ("_count", "_depth", "valid")

    def __init__(self, depth: int) -> None:
        self._depth, self._count, self.valid = depth, 0, False

    @property
    def ready(self) -> bool:
        """Whether there is room."""
        return self._count < self._depth

    def step(self, taken: bool, pushed: bool) -> None:
        """The end of a cycle."""
        left = self._count - taken
        self.valid = left > 0
        self._count = left + pushed


class Gearbox:
    """`rtl_gen.dma.gearbox`, its pieces counted; `valid`, `last` of what is offered."""

    __slots__ = ("_ended", "_fill", "_given", "_opened", "last", "valid")

    def __init__(self, given: int) -> None:
        self._given, self._fill, self._ended, self._opened = given, 0, False, False
        self.valid = self.last = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._fill and not self._ended

    def ready(self, taken: bool) -> bool:
        """Whether a group is taken in a cycle in which one is given or not."""
        if taken:
            return self.last or not self._ended and self._fill - self._given < self._given
        return not self._ended and self._fill < self._given

    def step(self, taken: bool, count: int, start: int = 0, last: bool = False) -> None:
        """The end of a cycle; a group of `count` pieces comes, or none (0)."""
        if taken:
            if self.last:
                self._fill, self._ended = 0, False
            else:
                self._fill -= self._given
        if count:
            self._fill = (self._fill if self._opened else start) + count
            self._ended, self._opened = last, not last
        self.valid = self._ended or self._fill >= self._given
        self.last = self._ended and self._fill <= self._given


class Feed:
    """`rtl_gen.dma.feed`: words to beats, unit by unit of `size` bytes."""

    __slots__ = ("_group", "_last_count", "_number", "_words", "gear")

    def __init__(self, size: int, bus_bytes: int, beat_bytes: int) -> None:
        piece = gcd(bus_bytes, beat_bytes)
        self.gear = Gearbox(beat_bytes // piece)
        self._group, self._words = bus_bytes // piece, -(-size // bus_bytes)
        self._last_count = (size - 1) % bus_bytes // piece + 1
        self._number = 0

    def step(self, taken: bool, offered: bool) -> bool:
        """The end of a cycle; whether a word that is offered was taken."""
        gear = self.gear
        if not (offered and gear.ready(taken)):
            if taken:
                gear.step(True, 0)
            return False
        last = self._number + 1 == self._words
        gear.step(taken, self._last_count if last else self._group, 0, last)
        self._number = 0 if last else self._number + 1
        return True


class Slice:
    """`rtl_gen.axi.stream.Slice`."""

    __slots__ = ("ready", "valid")

    def __init__(self) -> None:
        self.valid, self.ready = False, True

    def step(self, moves: bool, offered: bool) -> None:
        """The end of a cycle in which its beat would be taken or not, and one is offered or not."""
        if moves or not self.valid:
            self.valid, self.ready = offered or not self.ready, True
        elif offered:
            self.ready = False


class Locate:
    """`rtl_gen.dma.locate`: two ranks; `out` is offered, None: nothing."""

    __slots__ = ("_rank", "out")

    def __init__(self) -> None:
        self._rank: tuple[int, ...] | None = None
        self.out: tuple[int, ...] | None = None

    def ready(self, taken: bool) -> bool:
        """Whether an entry is taken in a cycle in which `out` is or not."""
        return self._rank is None or self.out is None or taken

    def step(self, taken: bool, entry: tuple[int, ...] | None) -> None:
        """The end of a cycle; `entry` comes, or None."""
        moves = self.out is None or taken
        if moves:
            self.out = self._rank
            self._rank = entry
        elif self._rank is None:
            self._rank = entry
