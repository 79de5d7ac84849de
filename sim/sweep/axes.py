"""What a sweep moves: fields of hardware, job and workload along axes, and the points that these make.

An axis is a list of values, a range, or several fields that move together. Points are every combination, the last axis
fastest, or random draws, each of them once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stamp_hw.errors import ConfigError, brief

MOST_POINTS = 100_000
_DIGITS = 12  # significant ones of a range's floats: 0.1 + 0.2 is 0.3 for whoever wrote the range
_DRAWN = 6  # of a random one: nobody builds a clock to the last bit of a float
_KINDS = "a list of values, {from, to, step}, {from, to, times}, or with samples {from, to} or {from, to, log: true}"

Values = dict[str, Any]  # field → its value at a point


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """`fields` that move together through `rows`, each with a value a field."""

    fields: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    @property
    def count(self) -> int | None:
        """Different places."""
        return len(self.rows)

    def at(self, place: int) -> Values:
        """The fields' values at a place."""
        return dict(zip(self.fields, self.rows[place], strict=True))

    def draw(self, rng: np.random.Generator) -> Values:
        """A random row."""
        return self.at(int(rng.integers(len(self.rows))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A field anywhere in `low`…`high`, both included: whole numbers where both are, evenly, or in the logarithm."""

    field: str
    low: int | float
    high: int | float
    log: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The one field."""
        return (self.field,)

    @property
    def count(self) -> int | None:
        """Different places, None for as many as there are floats."""
        return int(self.high - self.low + 1) if self._whole else None

    @property
    def _whole(self) -> bool:
        return type(self.low) is int and type(self.high) is int

    def draw(self, rng: np.random.Generator) -> Values:
        """A random value."""
        if self._whole and not self.log:
            return {self.field: int(rng.integers(int(self.low), int(self.high), endpoint=True))}
        low, high = float(self.low), float(self.high) + self._whole  # a whole number has its unit above it
        value = math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else float(rng.uniform(low, high))
        found = int(value) if self._whole else _short(value, _DRAWN)
        return {self.field: min(max(found, self.low), self.high)}


Axis = Steps | Span


def axis(where: str, field: str, data: Any, *, random: bool) -> Axis:
    """The axis of one field. Raises ConfigError naming the place; `random`: a range without steps is one."""
    if isinstance(data, dict) and not {"step", "times"} & set(data):
        return _span(where, field, data, random)
    return Steps(fields=(field,), rows=tuple((value,) for value in _values(where, data)))


def together(where: str, data: Any) -> Steps:
    """The axis of fields that move together. Raises ConfigError naming the place."""
    if not isinstance(data, dict) or len(data) < 2:
        raise ConfigError("not an axis", where=where, got=brief(data), expected="two fields or more, a list each")
    columns = {str(field): _values(f"{where}.{field}", values) for field, values in data.items()}
    lengths = {field: len(values) for field, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError("fields that move together", where=where,
                          got=", ".join(f"{count} of {field}" for field, count in lengths.items()),
                          expected="as many values of each")
    return Steps(fields=tuple(columns), rows=tuple(zip(*columns.values(), strict=True)))


def combinations(axes: Sequence[Axis]) -> int | None:
    """How many points the axes have, None for no end of them."""
    counts = [one.count for one in axes]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def grid(axes: Sequence[Steps]) -> Iterator[Values]:
    """Every combination, the last axis fastest."""
    for number in range(combinations(axes) or 0):
        places = []
        for one in reversed(axes):
            number, place = divmod(number, len(one.rows))
            places.append(one.at(place))
        yield {field: value for values in reversed(places) for field, value in values.items()}


def samples(axes: Sequence[Axis], count: int, rng: np.random.Generator) -> Iterator[Values]:
    """`count` different random points, at most as many as there are."""
    seen: set[str] = set()
    while len(seen) < count:
        values = {field: value for one in axes for field, value in one.draw(rng).items()}
        if (key := repr(values)) not in seen:
            seen.add(key)
            yield values


def _span(where: str, field: str, data: Mapping[str, Any], random: bool) -> Span:
    if not set(data) <= {"from", "to", "log"} or not {"from", "to"} <= set(data):
        raise ConfigError("not an axis", where=where, got=brief(data), expected=_KINDS)
    log = data.get("log", False)
    if type(log) is not bool:
        raise ConfigError("not an axis", where=f"{where}.log", got=brief(log), expected="true or false")
    low, high = (_number(f"{where}.{name}", data[name]) for name in ("from", "to"))
    if not low < high or log and low <= 0:
        raise ConfigError("empty range", where=where, got=brief(data), expected="from below to" + ", above 0" * log)
    if not random:
        raise ConfigError("range without steps", where=where, got=brief(data), expected="step or times, or samples")
    return Span(field=field, low=low, high=high, log=log)


def _values(where: str, data: Any) -> list[Any]:
    """The values of a list, or of a range with steps."""
    if isinstance(data, dict):
        values = _stepped(where, data)
    elif isinstance(data, list):
        values = data
    else:
        raise ConfigError("not an axis", where=where, got=brief(data), expected=_KINDS)
    if not 1 <= len(values) <= MOST_POINTS:
        raise ConfigError("not an axis", where=where, got=f"{len(values)} values", expected=f"1…{MOST_POINTS}")
    for place, value in enumerate(values):
        _plain(f"{where}[{place}]", value)
    if len({repr(value) for value in values}) < len(values):
        raise ConfigError("value given twice", where=where, got=brief(values), expected="each once")
    return values


def _stepped(where: str, data: Mapping[str, Any]) -> list[Any]:
    kind = "step" if "step" in data else "times"
    if set(data) != {"from", "to", kind}:
        raise ConfigError("not an axis", where=where, got=brief(data), expected=_KINDS)
    low, high, step = (_number(f"{where}.{name}", data[name]) for name in ("from", "to", kind))
    if not low <= high or (step <= 0 if kind == "step" else step <= 1 or low <= 0):
        raise ConfigError("empty range", where=where, got=brief(data),
                          expected="from up to to, step above 0" if kind == "step" else
                          "from above 0 up to to, times above 1")
    values: list[int | float] = []
    value = low
    while value <= high and len(values) <= MOST_POINTS:
        values.append(value)
        # Of a sum of floats the error would grow with every step.
        value = _short(low + len(values) * step if kind == "step" else value * step)
    return values


def _short(value: int | float, digits: int = _DIGITS) -> int | float:
    return value if type(value) is int else float(f"{value:.{digits}g}")


def _number(where: str, value: Any) -> int | float:
    if type(value) not in (int, float) or not abs(value) <= 1e18:
        raise ConfigError("not a number", where=where, got=brief(value), expected="a number")
    found: int | float = value
    return found


def _plain(where: str, value: Any) -> None:
    """Raise ConfigError for what JSON does not hold."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            _plain(f"{where}[{place}]", item)
        return
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for key, item in value.items():
            _plain(f"{where}.{key}", item)
        return
    finite = isinstance(value, float) and math.isfinite(value)
    if not (value is None or isinstance(value, bool | int | str) or finite):
        raise ConfigError("not a value", where=where, got=brief(value),
                          expected="a finite number, a text, true, false, null, or a list or mapping of such")
