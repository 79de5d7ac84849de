"""All properties."""

from __future__ import annotations

from tb.formal import (
    Property,
    axi,
    engine_back,
    engine_front,
    engine_halves,
    engine_issue,
    hadamard,
    lifting,
    mac,
    pe,
    quantizer,
    queues,
    range_tree,
    scale,
    streams,
)

SUBJECTS = (streams, queues, axi, hadamard, engine_front, engine_halves, engine_issue, engine_back, lifting, range_tree,
            quantizer, scale, mac, pe)
PROPERTIES: tuple[Property, ...] = tuple(prop for subject in SUBJECTS for prop in subject.PROPERTIES)
