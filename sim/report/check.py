"""What a document has to be before it is drawn: keys that are needed, finite numbers, names that fit each other.

A rule takes a value and its place in the document (keys between dots, "" of the document itself), and raises StampError
naming the place where the value is not what the rule says; `within` puts the file in front. Keys that no rule names are
left alone: a newer program may write more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stamp_hw.errors import StampError

Rule = Callable[[Any, str], None]
#: Largest figure that is drawn: sums and ratios of such stay finite.
MOST = 1e60


@contextmanager
def within(file: str) -> Iterator[None]:
    """Errors of what is checked here name the file and, behind a colon, the place."""
    try:
        yield
    except StampError as error:
        raise StampError(error.what, where=f"{file}: {error.where}" if error.where else file, got=error.got,
                         expected=error.expected) from None


def place(where: str, key: str) -> str:
    """The place of a key of what is at `where`."""
    return f"{where}.{key}" if where else key


def need(ok: bool, where: str, got: object, expected: str) -> None:
    """Raise StampError unless `ok`."""
    if not ok:
        raise StampError("not a report that can be drawn", where=where, got=got, expected=expected)


def figure(value: Any, where: str) -> None:
    """A finite number from 0 on."""
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    need(ok and 0 <= value <= MOST, where, value, "a number from 0 on")


def decibel(value: Any, where: str) -> None:
    """A finite number, or null."""
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    need(value is None or ok and abs(value) <= MOST, where, value, "a number or null")


def text(value: Any, where: str) -> None:
    """A text."""
    need(isinstance(value, str), where, value, "a text")


def flag(value: Any, where: str) -> None:
    """True or false."""
    need(isinstance(value, bool), where, value, "true or false")


def anything(_value: Any, _where: str) -> None:
    """Whatever it is: it is shown as it stands."""


def maybe(rule: Rule) -> Rule:
    """Null, or what the rule says."""
    def check(value: Any, where: str) -> None:
        if value is not None:
            rule(value, where)

    return check


def above_zero(value: Any, where: str) -> None:
    """A finite number above 0."""
    figure(value, where)
    need(value > 0, where, value, "a number above 0")


def mapping(rule: Rule, *, empty: bool = False) -> Rule:
    """Names, each with what the rule says; at least one unless `empty`."""
    def check(value: Any, where: str) -> None:
        need(isinstance(value, Mapping) and (empty or bool(value)), where, value, "an object")
        for key, item in value.items():
            rule(item, place(where, key))

    return check


def listing(rule: Rule) -> Rule:
    """A list of what the rule says."""
    def check(value: Any, where: str) -> None:
        need(isinstance(value, list), where, value, "a list")
        for number, item in enumerate(value):
            rule(item, f"{where}[{number}]")

    return check


def record(rules: Mapping[str, Rule], *, perhaps: Mapping[str, Rule] | None = None) -> Rule:
    """An object that has these keys, and `perhaps` those, which no older program wrote."""
    def check(value: Any, where: str) -> None:
        need(isinstance(value, Mapping), where, value, "an object")
        for key, rule in rules.items():
            need(key in value, place(where, key), "nothing", "this key")
            rule(value[key], place(where, key))
        for key, rule in (perhaps or {}).items():
            if key in value:
                rule(value[key], place(where, key))

    return check


def same_keys(tables: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Raise StampError unless all of these have the same keys as the first."""
    first = next(iter(tables))
    for name, table in tables.items():
        need(set(table) == set(tables[first]), place(where, name), ", ".join(table), f"what {first} has: "
             + ", ".join(tables[first]))


#: What a layer or an operation has that the drain paces (`sim.studies.drains`).
DRAIN: Mapping[str, Rule] = {"drain": maybe(record(dict.fromkeys(
    ("steps", "tile_cycles", "rescale_lanes", "tile_cycles_then"), figure)))}
#: Figures of the port of an external memory by name.
_PORT = ("bytes_per_s", "latency_ns", "burst", "efficiency")
#: What a report has whose super-tiles were searched, and behind `hw.memory`.
PERHAPS = record({}, perhaps={
    "mapping": record({"objective": text}),
    "memory": maybe(record({"kind": text, **dict.fromkeys(_PORT, figure),
                            "sources": record(dict.fromkeys(_PORT, text))}))})
#: What all reports have beside their figures.
COMMON: Mapping[str, Rule] = {
    "version": text,
    "config": record({"hw": record(dict.fromkeys(
        ("rows", "cols", "lanes", "rescale_lanes", "freq_hz", "dram_bytes_per_s"), above_zero),
        perhaps={"memory": maybe(record({"kind": text, "efficiency": above_zero}))}),
                      "job": record({"weight_bits": above_zero})}),
    "energy_set": record({
        "name": text, "node": text, "sources": mapping(text), "not_modelled": listing(text),
        "constants": mapping(record({"energy_pj": anything, "axis": maybe(text), "prices": text, "unit": text,
                                     "node": text, "source": text, "basis": text}))}, perhaps={
        "gates": record({"hardware": mapping(anything), "units": mapping(record(dict.fromkeys(
            ("idle_pj", "clock_pj", "leakage_uw", "area_um2", "flip_flops", "clock_mhz"), figure)))})}),
}


def same_hardware(document: Mapping[str, Any]) -> None:
    """Raise StampError where the gates of the energy set are of other hardware than the configuration's."""
    hardware, hw = document["energy_set"].get("gates", {}).get("hardware", {}), document["config"]["hw"]
    for key, value in hardware.items():
        need(hw.get(key, value) == value, f"energy_set.gates.hardware.{key}", value, f"{hw.get(key)}, as config.hw has")
