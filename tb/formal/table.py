"""All properties."""

from __future__ import annotations

from tb.formal import Property, mac, pe, streams

PROPERTIES: tuple[Property, ...] = (*streams.PROPERTIES, *mac.PROPERTIES, *pe.PROPERTIES)
