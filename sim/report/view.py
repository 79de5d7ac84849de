"""What a page shows, whatever kind of report it is of: cards, sections, and in them charts and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A figure of the summary: its `name`, `value` with `unit`, and a few `lines` (term, text) below."""

    name: str
    value: str
    unit: str
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stacked bar: `label` and what is `told` at its end, `values` by key, in the keys' own order."""

    label: str
    told: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A chart of stacked bars.

    Parameters
    ----------
    kind : which names and colours the keys have (`sim.report.names.KINDS`)
    groups : heading of a group → its bars, which are drawn to one scale
    unit : of the values, for the description
    origin : where the figures come from (`sim.report.names.ORIGINS`)
    """

    title: str
    kind: str
    groups: Mapping[str, tuple[Bar, ...]]
    unit: str
    origin: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """An operation on a roofline: operations per byte of the external memory, operations a second, and what paces it
    (`sim.report.names.LIMITS`)."""

    name: str
    scheme: str
    intensity: float
    rate: float
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Dots below `peaks` (name, operations a second) and `slopes` (name, bytes a second)."""

    title: str
    peaks: tuple[tuple[str, float], ...]
    slopes: tuple[tuple[str, float], ...]
    dots: tuple[Dot, ...]
    schemes: tuple[str, ...]
    origin: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A row a layer, a mark a scheme on a scale of dB, that of `lead` set apart; what is not finite is not drawn."""

    title: str
    rows: Mapping[str, Mapping[str, float | None]]
    schemes: tuple[str, ...]
    lead: str
    origin: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A point of a scatter, as it is `told`; `front`: none is better on both axes."""

    told: str
    scheme: str
    x: float
    y: float
    front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Points of schemes by two figures, the front of each scheme a line, in the order of its spots; `across` and `up`
    say what the axes are, `x_unit` and `y_unit` what in ("" for a number alone)."""

    title: str
    across: str
    up: str
    x_unit: str
    y_unit: str
    spots: tuple[Spot, ...]
    schemes: tuple[str, ...]
    lead: str
    origin: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Text, the `value` to sort by where the text would not do, and perhaps a `bar` of the given kind."""

    text: str
    value: float | None = None
    bar: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`columns` and as many cells a row; those at the places `words` hold words, the others figures. `total` is a row
    that stays below the others; `bars` the kind of the cells' bars."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[int, ...] = (0,)
    origin: str | None = None
    total: tuple[Cell, ...] | None = None
    bars: str = "cycles"
    note: str = ""


Part = Bars | Roofline | Spread | Scatter | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with its place in the page, a sentence or more, and what stands below."""

    anchor: str
    title: str
    parts: tuple[Part, ...] = ()
    words: tuple[str, ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A page: `title`, `subtitle` (what was asked of which hardware), the summary's cards and a sentence on what limits
    it, and the sections."""

    title: str
    subtitle: str
    cards: tuple[Card, ...]
    verdict: tuple[str, ...]
    sections: tuple[Section, ...]
