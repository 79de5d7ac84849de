"""All properties."""

from __future__ import annotations

from tb.formal import (
    Property,
    axi,
    engine_array,
    engine_back,
    engine_front,
    engine_halves,
    mac,
    pe,
    queues,
    streams,
)

SUBJECTS = (streams, queues, axi, engine_front, engine_halves, engine_array, engine_back,
            mac, pe)
PROPERTIES: tuple[Property, ...] = tuple(prop for subject in SUBJECTS for prop in subject.PROPERTIES)
