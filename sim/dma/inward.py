"""From the bus into the engine, a cycle at a time (`rtl_gen/dma/inward.py`, `rtl_gen/dma/repeat.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.dma.parts import Feed, Locate, Slice
from sim.dma.places import Places
from sim.dma.reads import Reader
from stamp_hw.dma.descriptor import BYTES, WORDS, Descriptor
from stamp_hw.dma.order import ENTRY_BYTES
from stamp_hw.dma.params import READS, DmaParams

CHAIN, ORDER, ACT, WGT, PAR = range(len(READS))


class Inward:
    """Feeds, slices and places. `words` of the descriptor that have come; `slices` in front of `i`, `w`, `p`."""

    def __init__(self, params: DmaParams, layer: Descriptor, at: int, table: np.ndarray, readers: Sequence[Reader]
                 ) -> None:
        self._readers, self._layer, self._bus = readers, layer, params.bus_bytes
        beats, bus = params.beat_bytes, params.bus_bytes
        self._feeds = (Feed(BYTES, bus, BYTES // WORDS), Feed(ENTRY_BYTES * layer.places, bus, ENTRY_BYTES),
                       Feed(layer.act_bytes, bus, beats["act"]), Feed(layer.wgt_bytes, bus, beats["wgt"]),
                       Feed(layer.par_bytes, bus, beats["par"]))
        self.slices = Slice(), Slice(), Slice()
        self.places, self._locate = Places(params, layer, table), Locate()
        # Segments of the streams that follow no table: address and words, and how often they are still wanted.
        parts = {CHAIN: (at, BYTES), ORDER: (layer.order, ENTRY_BYTES * layer.places),
                 WGT: (layer.wgt, layer.wgt_bytes), PAR: (layer.par, layer.par_bytes)}
        self._segments = {number: (address // bus, -(-size // bus)) for number, (address, size) in parts.items()}
        self._times = dict.fromkeys(parts, 0)
        self._act_words = -(-layer.act_bytes // bus)
        self.words = 0

    def fetch(self) -> None:
        """The end of the cycle in which the sequencer asks for the descriptor."""
        self._times[CHAIN] = 1

    def begin(self) -> None:
        """The end of the cycle in which the engine takes the job."""
        self._times |= {ORDER: 1, WGT: self._layer.repeats, PAR: self._layer.repeats}

    def step(self, taken: Sequence[bool], place_taken: bool, granted: int, pushes: int) -> None:
        """The end of a cycle: beats of `i`, `w`, `p` are taken from the slices; `places.place` is; the stream `granted`
        has its burst taken and a word comes for the stream `pushes` (−1: none)."""
        feeds, readers, places = self._feeds, self._readers, self.places
        popped = [False] * len(READS)
        # Descriptor: a word is taken whenever it is there.
        word = feeds[CHAIN].gear.valid
        self.words += word
        popped[CHAIN] = feeds[CHAIN].step(word, readers[CHAIN].words.valid)
        # Activations, weights, parameters; a token goes on only where its place is known.
        passes = False
        for number, (part, moves) in enumerate(zip(self.slices, taken, strict=True), ACT):
            feed = feeds[number]
            offered = feed.gear.valid and (number != ACT or places.known)
            beat = offered and part.ready
            passes |= number == ACT and beat and feed.gear.last
            part.step(moves, offered)
            popped[number] = feed.step(beat, readers[number].words.valid)
        # Tokens to segments.
        locate, reader = self._locate, readers[ACT]
        segment = None
        if locate.out is not None and reader.ready(granted == ACT):
            segment = locate.out
        token = places.token
        located = token is not None and locate.ready(segment is not None)
        locate.step(segment is not None, self._token(token) if located and token is not None else None)
        reader.step(granted == ACT, popped[ACT], pushes == ACT, segment)
        # The table.
        entry = feeds[ORDER].gear.valid and places.ready(located)
        places.step(entry, located, passes, place_taken)
        popped[ORDER] = feeds[ORDER].step(entry, readers[ORDER].words.valid)
        for number, segment in self._segments.items():
            reader = readers[number]
            offered = self._times[number] > 0 and reader.ready(granted == number)
            self._times[number] -= offered
            reader.step(granted == number, popped[number], pushes == number, segment if offered else None)

    def _token(self, token: int) -> tuple[int, int]:
        """(address, words) of a token of the input."""
        return (self._layer.act + token * self._layer.act_stride) // self._bus, self._act_words
