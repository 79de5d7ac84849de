"""Sums over jobs: all of them whole numbers, so that jobs add up to operations, operations to phases and phases to a
run, and components to totals, exactly.

Energy is kept in femtojoules: of each event's energy in a job the nearest whole number, a millionth of the least
constant of any set for a job of a thousand such events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sim.cost.layer_cost import Cost
from sim.engine.closed_form import PARTS, EngineCycles
from sim.memory import OPERANDS


@dataclass(slots=True, kw_only=True)
class Totals:
    """`jobs`; `cycles` of all, and those `saved` because jobs are prefetched; `parts` cycles by
    `sim.engine.closed_form.PARTS`; `limits` cycles of jobs by their bottleneck; `macs` useful products; `slot_steps`
    eighths of a row slot's steps that worked on a real token and output; `array_tiles`; `dram` bytes by operand,
    `port_bytes` that the one port moves for them, 0 where there is none; `energy` fJ by (component, event); `accesses`
    of each on-chip memory; `drained` cycles of jobs that the drain paces by the steps of their tiles; `vector`
    operations of the vector unit and `vector_cycles` that they take; `values` that linear layers took as activations,
    and their `value_bits`."""

    jobs: int = 0
    cycles: int = 0
    saved: int = 0
    macs: int = 0
    slot_steps: int = 0
    array_tiles: int = 0
    port_bytes: int = 0
    vector: int = 0
    vector_cycles: int = 0
    values: int = 0
    value_bits: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    limits: Counter[str] = field(default_factory=Counter)
    dram: Counter[str] = field(default_factory=Counter)
    energy: Counter[tuple[str, str]] = field(default_factory=Counter)
    accesses: Counter[str] = field(default_factory=Counter)
    drained: Counter[int] = field(default_factory=Counter)

    def add(self, cost: Cost, times: int) -> None:
        """So many jobs of this cost."""
        self.jobs += times
        self._add_cycles(cost.cycles, times)
        self.macs += times * cost.macs
        self.slot_steps += times * round(8 * cost.row_slot_steps)
        self.array_tiles += times * cost.cycles.array_tiles
        self.port_bytes += times * (cost.port_bytes or 0)
        for operand in OPERANDS:
            self.dram[operand] += times * getattr(cost.dram, operand)
        for component, events in cost.events.items():
            for name, event in events.items():
                self.energy[component, name] += times * round(1000 * event.energy_pj)
        for name, event in cost.events["memory"].items():
            self.accesses[name] += times * event.count

    def _add_cycles(self, cycles: EngineCycles, times: int) -> None:
        self.cycles += times * cycles.total
        for part in PARTS:
            self.parts[part] += times * getattr(cycles, part)
        self.limits[cycles.bottleneck] += times * cycles.total
        if cycles.bottleneck == "drain":
            self.drained[cycles.steps] += times * cycles.total

    def in_a_row(self, jobs: Mapping[EngineCycles, int]) -> Totals:
        """The same with the cycles of the jobs one behind the other, so many of each."""
        assert sum(jobs.values()) == self.jobs
        found = replace(self, cycles=0, parts=Counter(), limits=Counter(), drained=Counter())
        for cycles, times in jobs.items():
            found._add_cycles(cycles, times)
        found.saved = self.cycles - found.cycles
        return found

    def add_activations(self, cost: Cost, times: int) -> None:
        """The same jobs' activations and the bits that these take, of linear layers."""
        job, k = cost.task.job, cost.task.channels_in
        self.values += times * job.tokens * k
        self.value_bits += times * k * (8 * (job.n_hi + job.n_sink) + 4 * (job.tokens - job.n_hi))

    def merge(self, other: Totals) -> None:
        """What another has as well."""
        for name in ("jobs", "cycles", "saved", "macs", "slot_steps", "array_tiles", "port_bytes", "vector",
                     "vector_cycles", "values", "value_bits"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("parts", "limits", "dram", "energy", "accesses", "drained"):
            getattr(self, name).update(getattr(other, name))

    @property
    def all_cycles(self) -> int:
        """Engine and vector unit one after the other."""
        return self.cycles + self.vector_cycles

    @property
    def dram_bytes(self) -> int:
        """All operands."""
        return sum(self.dram.values())

    @property
    def energy_fj(self) -> int:
        """All components."""
        return sum(self.energy.values())

    def components(self) -> dict[str, int]:
        """fJ by component."""
        found: Counter[str] = Counter()
        for (component, _), energy in self.energy.items():
            found[component] += energy
        return dict(found)

    def memories(self) -> dict[str, dict[str, int]]:
        """Accesses and fJ of each on-chip memory."""
        return {name: {"accesses": count, "energy_fj": self.energy["memory", name]}
                for name, count in self.accesses.items()}


def total(parts: Iterable[Totals]) -> Totals:
    """The sum of some."""
    found = Totals()
    for part in parts:
        found.merge(part)
    return found
