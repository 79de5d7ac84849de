"""The external memory behind the engine's one port: `hw.memory` of a configuration.

A kind's name fills in what is not given; a value that is given replaces the kind's. Every constant has a source, and
one that nobody could look up says "assumed".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from stamp_hw.errors import ConfigError, brief

CUSTOM = "custom"
MAX_LATENCY_NS, MAX_BURST, MAX_PJ_PER_BIT = 1e6, 65536, 1e6
LEAST_EFFICIENCY = 0.01
#: Constants of a memory, in the order of a report.
CONSTANTS = ("bytes_per_s", "latency_ns", "burst", "efficiency", "pj_per_bit")

_IDLE_READ = "assumed: an idle read through controller, PHY and an activation"
_JEDEC = "arithmetic of the standard, {}"


def _require(ok: bool, name: str, got: object, expected: str) -> None:
    if not ok:
        where = f"hw.memory.{name}" if name else "hw.memory"
        raise ConfigError("impossible value", where=where, got=brief(got), expected=expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """An external memory behind one port.

    Parameters
    ----------
    kind : name in `KINDS`, or "custom" for a memory all of whose constants are given
    bytes_per_s : peak rate
    latency_ns : from a burst's request to its first data, when nothing is in its way
    burst : bytes of an access; the memory moves whole ones
    efficiency : part of the peak rate that is left over beside refresh, activations and turns of the bus
    pj_per_bit : energy of a bit that is moved; None leaves it to the energy set
    source : where the given constants come from; of a kind's own see `sources`
    """

    kind: str
    bytes_per_s: float
    latency_ns: float
    burst: int
    efficiency: float
    pj_per_bit: float | None = None
    source: str = "given in the configuration"

    def __post_init__(self) -> None:
        _require(self.kind in KINDS or self.kind == CUSTOM, "kind", self.kind, f"one of {_names()}")
        _number("bytes_per_s", self.bytes_per_s, 1e3, 1e15)
        _number("latency_ns", self.latency_ns, 0, MAX_LATENCY_NS)
        _require(type(self.burst) is int and 1 <= self.burst <= MAX_BURST, "burst", self.burst,
                 f"an integer in 1…{MAX_BURST}")
        _number("efficiency", self.efficiency, LEAST_EFFICIENCY, 1)
        if self.pj_per_bit is not None:
            _number("pj_per_bit", self.pj_per_bit, 1e-6, MAX_PJ_PER_BIT)
        _require(isinstance(self.source, str) and bool(self.source), "source", self.source, "a text")

    @classmethod
    def parse(cls, value: Any) -> MemoryConfig:
        """A memory as a configuration has it: a kind's name, in capitals or not, or a mapping with `kind` and what
        differs from it. Raises ConfigError naming the key."""
        if isinstance(value, MemoryConfig):
            return value
        given = {"kind": value} if isinstance(value, str) else value
        _require(isinstance(given, dict), "", value, f"a kind, {_names()}, or a mapping with one")
        known = [item.name for item in fields(cls)]
        for key in given:
            if key not in known:
                raise ConfigError("unknown key", where=f"hw.memory.{key}", expected=f"one of {', '.join(known)}")
        name = given.get("kind")
        kind = name.upper() if isinstance(name, str) and name != CUSTOM else name
        _require(kind == CUSTOM or kind in KINDS, "kind", name, f"one of {_names()}")
        own = {key: figure for key, (figure, _) in KINDS.get(str(kind), {}).items()}
        for key in CONSTANTS[:-1]:
            if key not in own and key not in given:
                raise ConfigError("missing key", where=f"hw.memory.{key}", expected=f"it, of a memory of kind {CUSTOM}")
        return cls(**{**own, **given, "kind": kind})

    @property
    def effective_bytes_per_s(self) -> float:
        """What of the peak rate the port moves."""
        return self.bytes_per_s * self.efficiency

    @property
    def sources(self) -> dict[str, str]:
        """Constant → where it comes from: the kind's source for its own value, `source` for one that was given."""
        own = KINDS.get(self.kind, {})
        return {name: own[name][1] if name in own and getattr(self, name) == own[name][0] else self.source
                for name in CONSTANTS if getattr(self, name) is not None}


def _names() -> str:
    return ", ".join((*KINDS, CUSTOM))


def _number(name: str, value: Any, low: float, high: float) -> None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    _require(ok, name, value, f"a number in {low:g}…{high:g}")


#: Kind → constant → (value, its source). A channel as one would put it beside such an engine; more of them: give
#: `bytes_per_s`.
KINDS: dict[str, dict[str, tuple[Any, str]]] = {
    "DDR4": {
        "bytes_per_s": (25.6e9, _JEDEC.format("JESD79-4: 3200 MT/s on 64 bits")),
        "latency_ns": (90.0, _IDLE_READ),
        "burst": (64, _JEDEC.format("JESD79-4: 8 transfers of 64 bits")),
        "efficiency": (0.8, "assumed"),
        "pj_per_bit": (20.3, "M. Horowitz, ISSCC 2014, figure 1.1.9: 1300 to 2600 pJ for 64 bits, the lower end taken"),
    },
    "LPDDR4": {
        "bytes_per_s": (17.064e9, _JEDEC.format("JESD209-4: 4266 MT/s on two channels of 16 bits")),
        "latency_ns": (120.0, _IDLE_READ),
        "burst": (32, _JEDEC.format("JESD209-4: 16 transfers of 16 bits")),
        "efficiency": (0.75, "assumed"),
        "pj_per_bit": (14.0, "H. Ha, PhD thesis, Stanford 2018: 32 Gb LPDDR4 at 3.2 Gb/s a pin, simulated; as listed "
                             "in github.com/Dongyunkam/DRAM_info, not read in the thesis"),
    },
    "LPDDR5": {
        "bytes_per_s": (25.6e9, _JEDEC.format("JESD209-5: 6400 MT/s on two channels of 16 bits")),
        "latency_ns": (120.0, _IDLE_READ),
        "burst": (32, _JEDEC.format("JESD209-5: 16 transfers of 16 bits")),
        "efficiency": (0.75, "assumed; that it is well below 1 and depends on the configuration: L. Steiner et al., "
                             "MEMSYS 2022, arXiv 2209.14756"),
        "pj_per_bit": (10.0, "assumed: about 0.7 of LPDDR4's; no source was found"),
    },
    "GDDR6": {
        "bytes_per_s": (64e9, _JEDEC.format("JESD250: 16 Gb/s a pin on two channels of 16 bits")),
        "latency_ns": (120.0, _IDLE_READ),
        "burst": (32, _JEDEC.format("JESD250: 16 transfers of 16 bits")),
        "efficiency": (0.8, "assumed"),
        "pj_per_bit": (7.5, "Micron's comparison of memories of high bandwidth, 14 to 16 Gb/s a pin, as reproduced at "
                            "kylolab.com/ultra-bandwidth-solutions.html; not read at Micron, no year given"),
    },
    "HBM2": {
        "bytes_per_s": (256e9, _JEDEC.format("JESD235: a stack, 2 Gb/s a pin on 1024 bits")),
        "latency_ns": (120.0, _IDLE_READ),
        "burst": (32, _JEDEC.format("JESD235: 4 transfers of a pseudo channel's 64 bits")),
        "efficiency": (0.9, "Z. Wang et al., arXiv 2005.04324: up to 425 GB/s measured on two stacks of 230 GB/s; less "
                            "for turns of the bus, assumed"),
        "pj_per_bit": (3.9, "M. O'Connor et al., MICRO-50, 2017 (Fine-Grained DRAM), as others quote it, not read in "
                            "the paper"),
    },
}
