"""Figures as a reader takes them in: three digits and the prefix of their unit."""

from __future__ import annotations

from collections.abc import Iterable

from stamp_hw.text import number

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"),
             (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))
NONE = "–"


def prefix(largest: float) -> tuple[float, str]:
    """The (factor, prefix) in which a figure is 1 or more and below 1000; that of 1 for 0."""
    return next(((factor, word) for factor, word in _PREFIXES if abs(largest) >= factor * 0.9995), _PREFIXES[-1]
                ) if largest else (1.0, "")


def digits(value: float) -> str:
    """Three significant digits at least: whole numbers from 100 on."""
    size = abs(value)
    return number(value, 0 if size >= 99.95 else 1 if size >= 9.995 else 2) if value else "0"


def quantity(value: float, unit: str) -> str:
    """A figure with its unit and the unit's prefix: `1.70 W`, `28.0 GB`."""
    factor, word = prefix(value)
    return f"{digits(value / factor)} {word}{unit}"


def count(value: float, noun: str) -> str:
    """A large number of things: `9.44 G cycles`, and all digits below ten thousand."""
    if value < 10_000:
        return f"{value:,.0f} {noun}"
    factor, word = prefix(value)
    return f"{digits(value / factor)} {word} {noun}"


def rate(value: float) -> str:
    """Units a second, as the terminal's tables write them."""
    return number(value, 1 if value >= 10 else 3)


def column(values: Iterable[float | None], unit: str) -> tuple[str, list[str]]:
    """(unit with the prefix that the largest figure needs, every figure in it); figures that lie a thousand times apart
    each have their own unit, and the column none."""
    found = list(values)
    sizes = [abs(value) for value in found if value]
    if sizes and max(sizes) > 1000 * min(sizes):
        return "", [NONE if value is None else quantity(value, unit) if value else "0" for value in found]
    factor, word = prefix(max(sizes, default=0.0))
    return word + unit, [NONE if value is None else number(value / factor, 2) if value else "0" for value in found]


def percent(part: float, whole: float) -> str:
    """A share, to a tenth of a percent."""
    return f"{number(100 * part / whole, 1)} %" if whole else NONE
