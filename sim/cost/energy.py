"""Energy: event counts times constants (docs/simulate.md).

A set of constants is a YAML file in `sim/cost/energy_sets/` or the user's own. Every constant prices events of one
component, so that doubling it doubles just those events' energy. Counts come from the blocks' `events` (held equal to
counters in the RTL) and from the engine model; constants are from the literature or from gates, whose set is of one
hardware alone. Every result is *modelled*.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sim.cost import memory_table
from sim.cost.memory_table import MemoryTable
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.formats.yaml_file import load_yaml, parse_yaml
from stamp_hw.hw_config import AROUND
from stamp_hw.memory_config import MemoryConfig

COMPONENTS = ("lifting", "scale", "mac", "rescale", "memory", "dram")
#: Every constant a set must have, and what its curve may run along (None: a plain number, always allowed).
CONSTANTS: dict[str, str | None] = {
    "lifting.add": "bits", "scale.add": "bits", "scale.multiply": "product", "mac.multiply": None, "mac.add": None,
    "rescale.multiply": "product", "rescale.add": "bits", "memory.access": "bytes", "dram.access": None,
}
#: Constants that a set may have beside: the price of some events of another constant's, by what those are.
FINER: dict[str, str | None] = {
    "inverse.add": "bits", "finish.add": "bits", "hadamard.add": "bits", "combine.add": "bits",
    "combine.multiply": "product", "mac.step4": None, "array.step": None, "control.step": None,
}
#: Unit of gates → what prices that follow the values are of, beside a beat itself, `base`: bits that change, and what
#: is done beside (`stamp_hw.engine.changes`).
FOLLOWED: dict[str, tuple[str, ...]] = {
    "lifting": (_LIFTED := ("in", "out", "cycles", "slots", "paired", "cross")), "inverse": _LIFTED,
    "scale": ("in", "out", "partial", "groups"), "pe": ("operand", "weight", "product"),
    "array": ("act", "wgt", "sums", "drained"), "rescale": ("sum", "total", "wsum"), "finish": ("in", "bias", "out"),
    "control": ("act", "wgt", "in", "codes", "out"),
}
LIFTING = ("lifting", "inverse")
#: Largest energy in pJ, and place on a curve: a joule an event is beyond any technology, and sums stay finite.
MAX_FIGURE = 1e12
#: Sets that do not ship, since their library restricts it → the command that makes them, and the file that it writes.
MADE = {"freepdk45": "make asic, which writes build/asic.yaml, or stamp-hw characterize --liberty freepdk45 --out "
                     "freepdk45.yaml"}
ACCESS = "memory.access"  # of a bank on the chip
MEMORY = "memory"  # source of what the configuration's `hw.memory` brings
_TEXTS = ("prices", "unit", "node", "source", "basis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`count` events priced by `constant` at `at` on its curve, or by `finer` where a set has that; `bits` each moves
    (memories), else None; of on-chip memories the `words` of a bank, and how many of the accesses `written` one."""

    name: str
    constant: str
    count: int
    at: float = 0.0
    bits: int | None = None
    finer: str | None = None
    words: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """Energy of one event in pJ: `points` (place on the axis, pJ) ascending, one point for a plain number.

    `axis` None, "bits", "product" or "bytes"; `per_bits` bits that an access moves, or None; `text` says what it
    prices, unit, node, source and basis.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    axis: str | None
    per_bits: int | None
    text: dict[str, str]

    def at(self, place: float) -> float:
        """pJ at a place on the axis: piecewise linear and extended; memories in log2, below the first point with the
        root of the size."""
        if len(self.points) == 1:
            return self.points[0][1]
        points = list(self.points)
        if self.axis == "bytes":
            if place < points[0][0]:
                return points[0][1] * math.sqrt(place / points[0][0])
            place = math.log2(place)
            points = [(math.log2(x), y) for x, y in points]
        index = next((i for i in range(len(points) - 2) if place <= points[i + 1][0]), len(points) - 2)
        (x0, y0), (x1, y1) = points[index : index + 2]
        return y0 + (y1 - y0) * (place - x0) / (x1 - x0)

    def scaled(self, factor: float) -> Constant:
        """The same constant, every figure times `factor`."""
        return replace(self, points=tuple((x, y * factor) for x, y in self.points))


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """One unit, whatever it does: `idle_pj` a cycle, of it the clock's `clock_pj`, and `leakage_uw`; its `area_um2`,
    `flip_flops` and fastest clock."""

    idle_pj: float
    clock_pj: float
    leakage_uw: float
    area_um2: float
    flip_flops: float
    clock_mhz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """On-chip memories by a `table`, of whose access energy the constant `memory.access` is a multiple, and of whose
    leakage `leakage_times` is."""

    table: MemoryTable
    leakage_times: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySet:
    """A validated set: `name`, `node`, `sources` (key → citation), `constants` by name, `not_modelled` in words; what
    `gates` have at rest, by unit, and of which `hardware`: none in a set of arithmetic alone; `memories` where a table
    prices the banks; `follows` unit → measure → pJ of a beat by what the values do (`sim.cost.values`)."""

    name: str
    node: str
    sources: dict[str, str]
    constants: dict[str, Constant]
    not_modelled: tuple[str, ...]
    gates: dict[str, AtRest] = field(default_factory=dict)
    hardware: HwConfig | None = None
    memories: Memories | None = None
    follows: dict[str, dict[str, float]] = field(default_factory=dict)

    def check(self, hw: HwConfig) -> None:
        """Raise ConfigError where the set's gates are those of other hardware: of another size a unit has other gates,
        whatever the number of PEs, which alone grow by whole ones."""
        if self.hardware is None:
            return
        own, asked = self.hardware.gates, hw.gates
        others = [key for key, value in asked.items() if own[key] != value]
        if others:
            raise ConfigError(
                "gates of other hardware", where=f"energy set {self.name}",
                got=", ".join(f"hw.{key} {asked[key]}" for key in others), expected=", ".join(
                    f"{own[key]}" for key in others) + ", or a set that `stamp-hw characterize` makes of this hardware")

    @property
    def clock_mhz(self) -> float | None:
        """The fastest clock of its slowest unit; None of a set without gates."""
        return min((unit.clock_mhz for unit in self.gates.values()), default=None)

    def price(self, event: Event) -> float:
        """pJ of all `count` events."""
        constant = self.constants[event.finer if event.finer in self.constants else event.constant]
        if self.memories is not None and event.constant == ACCESS:
            bank = self.memories.table.bank(event.words, event.bits or 0)
            return constant.at(0) * ((event.count - event.written) * bank.read_pj + event.written * bank.write_pj)
        each = constant.at(event.at)
        if constant.per_bits is not None:
            each *= (event.bits or 0) / constant.per_bits
        return event.count * each

    def scaled(self, name: str, factor: float) -> EnergySet:
        """A copy with one constant times `factor`."""
        return replace(self, constants={**self.constants, name: self.constants[name].scaled(factor)})

    def with_memory(self, memory: MemoryConfig | None) -> EnergySet:
        """A copy with the external memory's own energy of a bit in place of `dram.access`, where it has one; its source
        is the set's source `memory`."""
        if memory is None or memory.pj_per_bit is None:
            return self
        source = memory.sources["pj_per_bit"]
        own = self.constants["dram.access"]
        text = own.text | {"unit": "pJ per bit", "node": memory.kind, "source": MEMORY, "basis": source}
        constant = replace(own, points=((0.0, memory.pj_per_bit),), per_bits=1, text=text)
        return replace(self, constants={**self.constants, own.name: constant},
                       sources={**self.sources, MEMORY: f"{memory.kind}, energy of a bit: {source}"})

    def describe(self) -> dict[str, Any]:
        """JSON-able copy of everything, for reports."""
        return {
            "name": self.name, "node": self.node, "sources": self.sources, "not_modelled": list(self.not_modelled),
            "constants": {
                name: {"energy_pj": constant.points[0][1] if constant.axis is None
                       else {f"{x:.15g}": y for x, y in constant.points},
                       "axis": constant.axis, "per_bits": constant.per_bits, **constant.text}
                for name, constant in self.constants.items()},
        } | ({"gates": {"hardware": self.hardware.gates, "clock_mhz": self.clock_mhz,
                        "units": {name: asdict(unit) for name, unit in self.gates.items()},
                         **({"follows": self.follows} if self.follows else {})}}
             if self.hardware is not None else {}) | (
                 {"memories": {"table": self.memories.table.name, "node": self.memories.table.node,
                               "leakage_times": self.memories.leakage_times}} if self.memories is not None else {})


def shipped() -> tuple[str, ...]:
    """Names of the sets in the package."""
    return tuple(sorted(item.name.removesuffix(".yaml") for item in _folder().iterdir()
                        if item.name.endswith(".yaml")))


def shipped_text(name: str) -> str:
    """The file of a set in the package."""
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def _folder() -> Traversable:
    return resources.files("sim.cost") / "energy_sets"


@lru_cache(maxsize=16)
def load(technology: str, where: str = "hw.technology") -> EnergySet:
    """The set of that name in the package. Raises ConfigError when there is none."""
    if technology not in shipped():
        expected = f"one of {', '.join(shipped())}"
        if technology in MADE:
            expected = f"--energy-set FILE with what its library's user makes: {MADE[technology]}"
        raise ConfigError("no such energy set", where=where, got=technology, expected=expected)
    return parse(shipped_text(technology), f"{technology}.yaml")


def load_file(path: str | Path) -> EnergySet:
    """A set from the user's own file; where there is no such file, the set of that name in the package. Raises
    ConfigError naming file and key path."""
    if not Path(path).exists() and (str(path) in shipped() or str(path) in MADE):
        return load(str(path), "--energy-set")
    return _parse(load_yaml(path, "energy set"), str(path))


def parse(text: str, where: str) -> EnergySet:
    """A set from the text of a file. Raises ConfigError, in which `where` names it."""
    return _parse(parse_yaml(text, where), where)


def _parse(data: Any, where: str) -> EnergySet:
    """Check a set strictly: no key unknown, none missing but constants that its `base` has, every figure a positive
    number."""
    keys = ("name", "node", "sources", "constants", "not_modelled")
    top = _mapping(data, where, keys, ("base", "gates", "memories"))
    base = load(_text(top["base"], f"{where}: base"), f"{where}: base") if "base" in top else None
    _need(base is None or base.hardware is None, f"{where}: base", top.get("base"), "a set of arithmetic alone")
    sources = top["sources"]
    _need(isinstance(sources, dict) and bool(sources), f"{where}: sources", sources, "a mapping of citations")
    for key, value in sources.items():
        _text(value, f"{where}: sources.{key}")
    listed = _mapping(top["constants"], f"{where}: constants", () if base else tuple(CONSTANTS),
                      (*CONSTANTS, *FINER) if base else tuple(FINER))
    _need("memories" not in top or ACCESS not in listed, f"{where}: constants.{ACCESS}", "a price",
          "none beside memories")
    constants = {} if base is None else {name: base.constants[name] for name in CONSTANTS}
    constants |= {name: _constant(name, listed[name], sources, f"{where}: constants.{name}")
                  for name in (*CONSTANTS, *FINER) if name in listed}
    memories, cited = None, {}
    if "memories" in top:
        memories, constants[ACCESS] = _memories(top["memories"], f"{where}: memories")
        cited = {memories.table.name: memories.table.source}
    notes = top["not_modelled"]
    _need(isinstance(notes, list), f"{where}: not_modelled", notes, "a list of texts")
    gates, hardware, follows = _gates(top["gates"], f"{where}: gates") if "gates" in top else ({}, None, {})
    return EnergySet(
        name=_text(top["name"], f"{where}: name"), node=_text(top["node"], f"{where}: node"), constants=constants,
        sources=({} if base is None else base.sources) | {str(key): value for key, value in sources.items()} | cited,
        not_modelled=tuple(_text(note, f"{where}: not_modelled[{i}]") for i, note in enumerate(notes)), gates=gates,
        hardware=hardware, memories=memories, follows=follows)


def _memories(data: Any, where: str) -> tuple[Memories, Constant]:
    """The table, and the constant that says how many times its pJ an access takes."""
    top = _mapping(data, where, ("table", "energy_times", "leakage_times", "basis"))
    table = memory_table.load(_text(top["table"], f"{where}.table"), f"{where}.table")
    text = {"prices": "reading or writing a word of a bank of an on-chip memory, by its words and bits",
            "unit": f"times table {table.name}", "node": table.node, "source": table.name,
            "basis": _text(top["basis"], f"{where}.basis")}
    factor = _figure(top["energy_times"], f"{where}.energy_times")
    constant = Constant(name=ACCESS, points=((0.0, factor),), axis=None, per_bits=None, text=text)
    return Memories(table=table, leakage_times=_figure(top["leakage_times"], f"{where}.leakage_times")), constant


def _gates(data: Any, where: str) -> tuple[dict[str, AtRest], HwConfig, dict[str, dict[str, float]]]:
    """What units have at rest, the hardware that they are of, of which a key that it does not say has its default, and
    prices that follow the values."""
    top = _mapping(data, where, ("hardware", "units"), ("follows",))
    hw = _hardware(top["hardware"], f"{where}.hardware")
    names = tuple(field.name for field in fields(AtRest))
    units = {name: AtRest(**{key: _figure(value, f"{where}.units.{name}.{key}") for key, value in _mapping(
        unit, f"{where}.units.{name}", names).items()})
        for name, unit in _mapping(top["units"], f"{where}.units", *units_of(hw)).items()}
    for name, unit in units.items():
        _need(unit.clock_pj <= unit.idle_pj, f"{where}.units.{name}.clock_pj", unit.clock_pj,
              f"at most idle_pj, {unit.idle_pj:g}")
    follows = _mapping(top.get("follows", {}), f"{where}.follows", (), tuple(FOLLOWED))
    prices = {name: {str(key): _figure(value, f"{where}.follows.{name}.{key}") for key, value in _mapping(
        own, f"{where}.follows.{name}", (), ("base", *FOLLOWED[name])).items()} for name, own in follows.items()}
    for name, own in prices.items():
        _need(bool(own), f"{where}.follows.{name}", "nothing", "a price")
    return units, hw, prices


def units_of(hw: HwConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The units that hardware has gates of, and those that it may have: an engine that is set beside it without a
    transform has none of the lifting's."""
    more = (*(("hadamard",) if hw.hadamard else ()), *(("combine",) if hw.block else ()))
    return tuple(name for name in FOLLOWED if name not in LIFTING) + more, LIFTING


def _hardware(own: Any, where: str) -> HwConfig:
    """The hardware whose keys are given; those that are not have their defaults."""
    _need(isinstance(own, dict), where, own, "keys of hw, as in rows: 8")
    for key in own:
        _need(key not in AROUND, f"{where}.{key}", own[key], "no such key: no gate hangs on it")
    try:
        return NpuConfig.from_dict({"hw": own}).hw
    except ConfigError as error:
        raise ConfigError(error.what, where=f"{where}{error.where.removeprefix('hw')}", got=error.got,
                          expected=error.expected) from None


def _constant(name: str, data: Any, sources: dict[str, str], where: str) -> Constant:
    axis = (CONSTANTS | FINER)[name]
    memory = name in ("memory.access", "dram.access")
    keys = (*_TEXTS, "energy_pj", *(("per_bits",) if memory else ()))
    curve = isinstance(data, dict) and isinstance(data.get("energy_pj"), dict)
    data = _mapping(data, where, (*keys, "axis") if curve else keys)
    text = {key: _text(data[key], f"{where}.{key}") for key in _TEXTS}
    _need(text["source"] in sources, f"{where}.source", text["source"], f"one of {', '.join(map(str, sources))}")
    per_bits = data.get("per_bits")
    _need(not memory or (type(per_bits) is int and 0 < per_bits <= MAX_FIGURE), f"{where}.per_bits", per_bits,
          "a positive whole number")
    value = data["energy_pj"]
    if not curve:
        points: tuple[tuple[float, float], ...] = ((0.0, _figure(value, f"{where}.energy_pj")),)
    else:
        _need(axis is not None and data["axis"] == axis, f"{where}.axis", data["axis"],
              f"{axis}" if axis else "a plain number in energy_pj")
        _need(len(value) >= 2, f"{where}.energy_pj", value, "at least two points")
        points = tuple(sorted((_figure(x, f"{where}.energy_pj"), _figure(y, f"{where}.energy_pj.{x}"))
                              for x, y in value.items()))
    found = Constant(name=name, points=points, axis=axis if curve else None, per_bits=per_bits, text=text)
    energies = [energy for _, energy in points]
    _need(energies == sorted(energies) and found.at(1) > 0, f"{where}.energy_pj", value,
          "a curve that does not fall, and is above zero at 1")
    return found


def _mapping(data: Any, where: str, keys: tuple[str, ...], more: tuple[str, ...] = ()) -> dict[str, Any]:
    """A mapping that has all `keys`, and of `more` what it likes."""
    _need(isinstance(data, dict), where, type(data).__name__, f"keys {', '.join(keys)}")
    for key in data:
        if key not in (*keys, *more):
            raise ConfigError("unknown key", where=f"{where}.{key}", expected=f"one of {', '.join((*keys, *more))}")
    for key in keys:
        if key not in data:
            raise ConfigError("missing key", where=f"{where}.{key}", expected=f"{key}: …")
    found: dict[str, Any] = data
    return found


def _figure(value: Any, where: str) -> float:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_FIGURE
    _need(ok, where, value, f"a positive number up to {MAX_FIGURE:g}")
    return float(value)


def _text(value: Any, where: str) -> str:
    _need(isinstance(value, str) and bool(value), where, value, "a text")
    return str(value)


def _need(ok: bool, where: str, got: object, expected: str) -> None:
    if not ok:
        raise ConfigError("impossible value", where=where, got=got, expected=expected)
