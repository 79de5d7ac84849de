"""Engines of a family, all of them alike but for their size, and the figures of their units from small ones.

With R rows there are R columns, 2·R lanes in front of the array and R / 4 behind it, 35·R row slots in each half of the
activation buffer: at R = 16 that is `configs/language.yaml`. Per lane, per column and per divider (of which a block's
length asks for one more every four lanes) every unit is the same again, so that what it has of cells and flip-flops
grows along a line. Two do not, and are mapped at their size: the Hadamard unit, whose levels change their kind with the
lanes, and what the array has beside its PEs, whose skew grows with the square; that one as the engine has it, since the
array as a top of its own has a queue besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rtl_gen.asic import energy, gating, pe, pe_variants, timing
from rtl_gen.asic.characterize import Result, characterize
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.library import Library
from rtl_gen.asic.mapping import map_files
from rtl_gen.asic.parts import parts
from rtl_gen.asic.pe_variants import VariantPe
from rtl_gen.delivery.generate import unit_files
from rtl_gen.tops import BLOCKS as TOPS
from rtl_gen.tops import ENGINE_TOP
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import SPLIT
from stamp_hw.rooms import HOME

PILOT, SECOND = 4, 8  # rows of the engines whose units are mapped; those of the first are simulated as well
UNITS = ("hadamard", "lifting", "scale", "array", "combine", "rescale", "inverse", "finish", "control")
TRANSFORM = ("hadamard", "lifting", "inverse")  # units that a plain engine has not
BLOCKS = ("combine",)  # nor these, with a scale a token
PLAIN = tuple(name for name in UNITS if name not in (*TRANSFORM, *BLOCKS))
ENGINES = {"stamp": None, "a8": 8, "a4": 4}  # engine → bits of its PEs' codes, None: both
CHECKED = {"hadamard": 16, "lifting": 16}  # unit → rows at which it is simulated as well, to see how far scaling is off
MAPPED = ("hadamard", "array")  # mapped at their size
_ENGINE = next(unit for group in TOPS.values() for unit in group if unit.module == ENGINE_TOP)
_ARRAY = f"{ENGINE_TOP}_mac"  # the array in the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is mapped of a unit: `area_um2`, `flip_flops`, `leakage_uw`, `path_ps`."""

    area_um2: float
    flip_flops: float
    leakage_uw: float
    path_ps: float


def stamp(rows: int) -> NpuConfig:
    """The engine with everything that the language preset has. Raises ConfigError for rows that it cannot have."""
    if rows < PILOT or rows % 4:
        raise ConfigError("impossible value", where="--rows", got=rows, expected=f"a multiple of 4 from {PILOT} on")
    config = NpuConfig.load(HOME / "configs" / "language.yaml")
    return config.with_hw(rows=rows, cols=rows, lanes=2 * rows, rescale_lanes=rows // 4, act_slots=35 * rows,
                          multiplier=SPLIT)


def plain(rows: int) -> NpuConfig:
    """The same without levels, Hadamard unit and blocks. Its two lifting units do nothing and are not counted."""
    return stamp(rows).with_hw(hadamard=None, block=None, max_levels=0).with_job(group=None)


def mapped(config: NpuConfig, name: str, library: Library, wires: Wires) -> Size:
    """A unit of an engine in cells, nothing simulated."""
    if name == "array":
        files: Mapping[str, str] = unit_files(_ENGINE, config)
        netlist = map_files(files, _ARRAY, library, kept=(pe.MODULE,))
    else:
        (part,) = parts(config, name)
        netlist = map_files(part.files, part.top, library, kept=part.kept)
    counts = netlist.counts()
    return Size(area_um2=sum(library.cells[kind].area * count for kind, count in counts.items()
                             if kind in library.cells),
                flip_flops=len(energy.flip_flops(netlist, library)), leakage_uw=energy.leakage_uw(counts, library),
                path_ps=timing.path_ps(netlist, library, wires))


def of(result: Result) -> Size:
    """The same of a part that was simulated."""
    return Size(area_um2=result.area_um2, flip_flops=result.flip_flops, leakage_uw=result.leakage_uw,
                path_ps=result.path_ps)


def on_line(rows: int, pilot: Size, second: Size) -> Size:
    """A unit of so many rows, on the line through the two that were mapped; its slowest path is the slower one's."""
    part = (rows - PILOT) / (SECOND - PILOT)

    def at(name: str) -> float:
        first: float = getattr(pilot, name)
        last: float = getattr(second, name)
        return first + part * (last - first)

    return Size(area_um2=at("area_um2"), flip_flops=round(at("flip_flops")), leakage_uw=at("leakage_uw"),
                path_ps=max(pilot.path_ps, second.path_ps))


def scaled(pilot: Result, size: Size) -> Result:
    """A unit's figures at another size. Its clocks, and what it takes in a step of the array, go with its flip-flops;
    an event of a bit is what it was."""
    grown = size.flip_flops / pilot.flip_flops
    steps = {name: value * (grown if name.endswith(".step") else 1) for name, value in pilot.energy_pj.items()}
    return replace(pilot, area_um2=size.area_um2, flip_flops=int(size.flip_flops), leakage_uw=size.leakage_uw,
                   path_ps=size.path_ps, idle_pj=grown * pilot.idle_pj, clock_pj=grown * pilot.clock_pj,
                   energy_pj=steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Engines of one kind: of each unit the simulated `pilots`, and `second` on its line."""

    pilots: dict[str, Result]
    second: dict[str, Size]

    def unit(self, name: str, rows: int, own: Size | None = None) -> Result:
        """A unit's figures in an engine of so many rows; `own` are those of its size where it was mapped at it."""
        pilot = self.pilots[name]
        return scaled(pilot, own or on_line(rows, of(pilot), self.second[name]))


def measured(make: Callable[[int], NpuConfig], names: Iterable[str], library: Library, wires: Wires,
             say: Callable[[str], None]) -> Family:
    """The small engines of a family, unit by unit. Raises ToolError as `characterize`."""
    results, sizes = {}, {}
    for name in names:
        say(f"{name}, {PILOT} rows")
        (part,) = parts(make(PILOT), name)
        results[name] = characterize(part, library, wires)
        if name not in MAPPED:
            say(f"{name}, {SECOND} rows")
            sizes[name] = mapped(make(SECOND), name, library, wires)
    return Family(pilots=results, second=sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that is mapped and simulated: units of both families, (family, unit, rows) → those mapped at their size, a PE
    of each engine, and units of the first family at the rows of `CHECKED`."""

    families: Mapping[str, Family]
    sizes: Mapping[tuple[str, str, int], Size]
    pes: Mapping[str, Result]
    checks: Mapping[str, Result]

    def units(self, engine: str, rows: int) -> dict[str, Result]:
        """Unit → its figures in an engine of so many rows, PEs among them."""
        family, names = ("stamp", UNITS) if engine == "stamp" else ("plain", PLAIN)
        found = {name: self.families[family].unit(name, rows, self.sizes.get((family, name, rows))) for name in names}
        return {**found, "pe": replace(self.pes[engine], count=rows * rows)}

    def off(self) -> dict[str, dict[str, float]]:
        """Unit that was checked → how far off its scaled figures are: `area`, `rest` and `event`, as parts."""
        found = {}
        for name, own in self.checks.items():
            size = self.sizes.get(("stamp", name, CHECKED[name]))
            scaled_ = self.families["stamp"].unit(name, CHECKED[name], size)
            (event,) = own.energy_pj
            found[name] = {"area": scaled_.area_um2 / own.area_um2 - 1, "rest": scaled_.idle_pj / own.idle_pj - 1,
                           "event": scaled_.energy_pj[event] / own.energy_pj[event] - 1}
        return found


def measure(library: Library, wires: Wires, rows: Sequence[int], say: Callable[[str], None]) -> Measured:
    """Map and simulate. Raises ToolError as `characterize`."""
    makers: dict[str, tuple[Callable[[int], NpuConfig], tuple[str, ...]]] = {
        "stamp": (stamp, UNITS), "plain": (plain, PLAIN)}
    families = {name: measured(make, units, library, wires, say) for name, (make, units) in makers.items()}
    sizes = {}
    for family, (make, units) in makers.items():
        for name in units:
            for count in rows if name in MAPPED else ():
                say(f"{name}, {count} rows")
                sizes[family, name, count] = mapped(make(count), name, library, wires)
    checks = {}
    for name, count in CHECKED.items():
        say(f"{name}, {count} rows, simulated")
        (part,) = parts(stamp(count), name)
        checks[name] = characterize(part, library, wires)
    say("pe")
    return Measured(families=families, sizes=sizes, pes=elements(library, wires), checks=checks)


def elements(library: Library, wires: Wires) -> dict[str, Result]:
    """Engine → its PE."""
    config = stamp(PILOT)
    (part,) = parts(config, "pe")
    found = {"stamp": characterize(part, library, wires)}
    for engine, bits in ENGINES.items():
        if bits is None:
            continue
        form = pe_variants.of_bits(bits, config.hw.max_k)
        phase = pe.EIGHT if bits == 8 else pe.FOUR
        bench = pe_variants.bench(form, (phase,), gating.operands(), gating.IDLE_CYCLES)
        own = gating.priced(VariantPe(form), bench, library, wires, gated=False)
        rest, step = own.pj[pe.IDLE], own.pj[phase] - own.pj[pe.IDLE]
        found[engine] = replace(
            found["stamp"], area_um2=own.area_um2, flip_flops=own.flip_flops, leakage_uw=own.leakage_uw,
            path_ps=own.path_ps, idle_pj=rest, clock_pj=rest, busy_pj=own.pj[phase],
            energy_pj={"mac.step8": step, "mac.step4": step})  # it has one kind of step; empty rows take it as well
    return found
