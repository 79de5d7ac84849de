"""The order table at work, a cycle at a time (`rtl_gen/dma/places.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stamp_hw.dma.descriptor import Descriptor
from stamp_hw.dma.order import ENDS, SUPPRESS, tokens_of
from stamp_hw.dma.params import DmaParams


class Place(NamedTuple):
    """Of results: `address` in bytes of a token of a column tile, which nobody wants where it is `suppressed`; it is
    the `last_column`'s."""

    address: int
    suppressed: bool
    last_column: bool


class Places:
    """`known`: the token that goes into the engine next is there; `token`, `place`: what is offered, None: nothing."""

    def __init__(self, params: DmaParams, layer: Descriptor, table: np.ndarray) -> None:
        self._layer, self._size, self._tile = layer, params.ring_places, params.tile_bytes
        self._tokens: Sequence[int] = tokens_of(table).tolist()
        self._suppressed: Sequence[bool] = (table & SUPPRESS != 0).tolist()
        self._ends: Sequence[bool] = (table & ENDS != 0).tolist()
        self._columns = layer.registers["columns"]
        self._end = self._first = self._passed = self._at = self._column = 0
        self.known = False
        self.token: int | None = None
        self.place: Place | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return self._first == self._end == self._passed and self.token is None

    def ready(self, token_taken: bool) -> bool:
        """Whether an entry of the table is taken, in a cycle in which `token` is or not."""
        return (self.token is None or token_taken) and self._end - self._first != self._size

    def step(self, entry: bool, token_taken: bool, passes: bool, place_taken: bool) -> None:
        """The end of a cycle: an entry comes; the `token` is taken; one passes into the engine; `place` is taken."""
        end = self._end
        if place_taken:
            last = self._column + 1 == self._columns
            if not self._ends[self._at]:
                self._at += 1
            elif last:
                self._at += 1
                self._first, self._column = self._at, 0
            else:
                self._at, self._column = self._first, self._column + 1
        if passes:
            self._passed += 1
        self.known = self._passed != end
        if place_taken or self.place is None:
            self.place = self._place() if self._at != end else None
        if token_taken:
            self.token = None
        if entry:
            self.token = self._tokens[end]
            self._end += 1

    def _place(self) -> Place:
        at, layer = self._at, self._layer
        return Place(layer.out + self._column * self._tile + self._tokens[at] * layer.out_stride, self._suppressed[at],
                     self._column + 1 == self._columns)
