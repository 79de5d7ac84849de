"""Positions of outlier tokens, as configurations, options and traces name them (`stamp_hw.outliers`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

_NUMBER = re.compile(r" *[0-9]{1,19} *")

#: At most one token in so many is an outlier: each costs 8 bits more.
ONE_IN = 32

#: Leading sinks that an older name for outliers, --sinks or `n_sink`, may count: no sequence is longer, and how many of
#: its tokens may be outliers is said where it is known.
MAX_SINKS = 1 << 16

#: Which tokens are kept out of the transform: "auto" those that are known or found, "off" none, or these.
Which = tuple[int, ...] | Literal["auto", "off"]


def most_outliers(tokens: int) -> int:
    """Outliers that a sequence of so many tokens may have."""
    return -(-tokens // ONE_IN)


def parse(value: object) -> tuple[int, ...] | Literal["auto", "off"] | None:
    """What a configuration or an option says: "auto", "off" (in YAML a false), or positions, as numbers or as text
    with commas; None for anything else."""
    if isinstance(value, str) and value in ("auto", "off") or value is False:
        return "auto" if value == "auto" else "off"
    parts: Sequence[object] = (value.split(",") if isinstance(value, str) else list(value)
                               if isinstance(value, list | tuple) else [value])
    found = [int(part) if isinstance(part, str) and _NUMBER.fullmatch(part) else part for part in parts]
    whole = tuple(one for one in found if type(one) is int and one >= 0)
    return whole if found and len(whole) == len(found) else None


def ascend_within(positions: Sequence[object], tokens: int) -> bool:
    """They are whole numbers that ascend, and each is the position of a token."""
    return all(type(one) is int and 0 <= one < tokens for one in positions) and all(
        one < other for one, other in zip(positions, positions[1:], strict=False))  # type: ignore[operator]
