"""Area, time, leakage and energy of a part, from its gates (docs/asic.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rtl_gen.asic import energy, follow, opensta, timing
from rtl_gen.asic.bench import BUSY, IDLE
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.follow import Error, Sample
from rtl_gen.asic.gates import MEMORY
from rtl_gen.asic.library import Library
from rtl_gen.asic.mapping import Netlist, map_files
from rtl_gen.asic.parts import Measured, Part
from rtl_gen.asic.simulate import Activity, simulate_all
from stamp_hw.errors import ToolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Of one part, `count` of which an engine has.

    `area_um2`, of it `flip_flop_um2`; `gate_equivalents`; `cells` and `flip_flops` in it; `memory_bits`, which are in
    none of the figures; `path_ps` and OpenSTA's `sta_ps`; `leakage_uw`; `idle_pj` and `busy_pj` a cycle, `clock_pj` of
    it the clock's; `energy_pj` constant → energy of an event above rest, of one bit of it where it is by bits;
    `cycles` that were counted at work; `follows_pj` the prices of `rtl_gen.asic.follow`, none where no layer ran, and
    `errors` of what is charged for layers that they were not fitted on.
    """

    name: str
    count: int
    area_um2: float
    flip_flop_um2: float
    gate_equivalents: float
    cells: int
    flip_flops: int
    memory_bits: int
    path_ps: float
    sta_ps: float | None
    leakage_uw: float
    idle_pj: float
    busy_pj: float
    clock_pj: float
    energy_pj: dict[str, float]
    cycles: int
    follows_pj: dict[str, float] = field(default_factory=dict)
    errors: tuple[Error, ...] = ()

    @property
    def clock_mhz(self) -> float:
        return 1e6 / self.path_ps

    def to_dict(self) -> dict[str, Any]:
        """Every figure; `energy_error` is the largest of the errors of following prices, either way."""
        return {**asdict(self), "clock_mhz": self.clock_mhz} | (
            {"energy_error": max(abs(one.following) for one in self.errors)} if self.errors else {})


def characterize(part: Part, library: Library, wires: Wires, unseen: Collection[str] = ()) -> Result:
    """Map, time, simulate and price one part; its layers but for the `unseen` ones make its prices. Raises ToolError
    where a tool is missing or the gates are wrong."""
    netlist = map_files(part.files, part.top, library, kept=part.kept)
    rest = {name: text for name, text in part.files.items() if name != f"{part.top}.v"}
    runs = simulate_all(netlist, library, part.bench, rest)
    activity = runs[""]
    if IDLE not in activity:
        raise ToolError("a bench without rest", where=part.name, expected=f"a phase {IDLE}")
    meter = energy.Meter(netlist, library, wires)
    taken = {phase: meter.energy(found) for phase, found in activity.items()}
    steps = part.bench.steps or {BUSY: "busy"}
    busy = [phase for phase, name in steps.items() if name != "idle"]
    cells = {kind: count for kind, count in netlist.counts().items() if kind in library.cells}
    area = sum(library.cells[kind].area * count for kind, count in cells.items())
    flops = energy.flip_flops(netlist, library)
    idle_pj = taken[IDLE].total / 1000
    above = {run: {phase: (meter.energy(runs[run][phase]).total / 1000 - idle_pj) * runs[run][phase].cycles
                   for phase in phases} for run, phases in {"": busy, **part.layers}.items()}
    prices = _mean_prices(part, netlist, runs, above, unseen)
    samples = {run: _samples(part, netlist, runs[run], idle_pj, prices, above[run], measured)
               for run, measured in part.layers.items()}
    follows = following(samples, unseen)
    return Result(
        name=part.name, count=part.count, area_um2=area, flip_flop_um2=sum(cell.area for cell in flops),
        gate_equivalents=area / library.gate().area, cells=sum(cells.values()), flip_flops=len(flops),
        memory_bits=_memory_bits(netlist), path_ps=timing.path_ps(netlist, library, wires),
        sta_ps=opensta.path_ps(netlist, library, wires), leakage_uw=energy.leakage_uw(cells, library),
        idle_pj=idle_pj, busy_pj=sum(taken[phase].total for phase in busy) / len(busy) / 1000,
        clock_pj=taken[IDLE].clock / 1000, energy_pj=prices,
        cycles=sum(activity[phase].cycles for phase in busy), follows_pj=follows,
        errors=tuple(follow.error(run, samples[run], follows) for run in samples if run in unseen))


def following(samples: Mapping[str, Sequence[Sample]], unseen: Collection[str]) -> dict[str, float]:
    """Prices of the runs that are not `unseen`; none without such a run."""
    fitted = [one for run, found in samples.items() if run not in unseen for one in found]
    return follow.fit(fitted) if fitted else {}


def _samples(part: Part, netlist: Netlist, activity: Mapping[int, Activity], rest_pj: float,
             prices: Mapping[str, float], above: Mapping[int, float], measured: Mapping[int, Measured]) -> list[Sample]:
    """Of each phase of a run, which took so many pJ `above` rest; `rest_pj` a cycle."""
    found = []
    for phase, own in measured.items():
        cycles = activity[phase].cycles
        if part.bench.steps:  # a beat a cycle; a layer has so many of each kind as it has
            mean, beats = cycles * prices[part.bench.steps[phase]], cycles
        else:
            assert part.events is not None and own.beats is not None
            work = part.work(_counts(netlist, part.events, activity[phase]))
            mean, beats = sum(each.count * each.bits * prices.get(each.constant, 0.0) for each in work), own.beats
        times = (own.beats or beats) / beats
        found.append(Sample(pj=times * above[phase], rest_pj=times * rest_pj * cycles, mean_pj=times * mean,
                            beats=own.beats or beats, measures=own.measures))
    return found


def _mean_prices(part: Part, netlist: Netlist, runs: Mapping[str, Mapping[int, Activity]],
                 above: Mapping[str, Mapping[int, float]], unseen: Collection[str]) -> dict[str, float]:
    """Energy of an event above rest: of all that made layers do of it, or of a bench whose values are not random, or
    that no made layer runs on. Kinds of events of one block share its energy by their bits: no layer has one alone."""
    made = [run for run, found in part.layers.items()
            if part.random and run not in unseen and all(own.beats is not None for own in found.values())]
    if part.bench.steps:
        return {name: _mean([(above[run][phase] / runs[run][phase].cycles,
                              part.layers[run][phase].beats or 0 if made else 1) for run in made or [""]])
                for phase, name in part.bench.steps.items() if name != "idle"}
    assert part.events is not None
    names: dict[str, None] = {}
    taken = bits = 0.0
    for run in made or [""]:
        work = part.work(_counts(netlist, part.events, runs[run][BUSY]))
        names |= dict.fromkeys(each.constant for each in work)
        taken, bits = taken + above[run][BUSY], bits + sum(each.count * each.bits for each in work)
    return {name: taken / bits for name in names} if bits else {}


def _mean(values: Sequence[tuple[float, float]]) -> float:
    """Of (value, weight)."""
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


def _counts(netlist: Netlist, layout: Any, activity: Activity) -> dict[str, int]:
    """Events of a phase: of each field of the port `events` the sum over its cycles."""
    bits = netlist.ports["events"][1]
    found = {}
    for name, place_of in layout:
        own = bits[place_of.offset : place_of.offset + place_of.width]
        found[name] = sum((activity.ones[bit] if isinstance(bit, int) else activity.cycles * (bit == "1")) << place
                          for place, bit in enumerate(own))
    return found


def _memory_bits(netlist: Netlist) -> int:
    return sum(int(str(parameters["SIZE"]), 2) * int(str(parameters["WIDTH"]), 2)
               for kind, _, parameters in netlist.cells.values() if kind == MEMORY)
