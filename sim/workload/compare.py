"""A workload under five schemes on four machines: the configuration's own array with and without the block Hadamard
unit and block scales, weights of 8 and 4 bits, tokens of 8, 4 and mixed bits.

Cost alone (`sim.workload.run`); what a scheme does to a model's answers comes from `stamp-hw eval`. Whether one scheme
takes less energy than another may hang on the constants: `survives` tells for the sets that are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sim import banks, rescale
from sim.cost import bank_prices
from sim.cost.area import area_mm2
from sim.cost.bank_prices import nine_digits
from sim.cost.energy import EnergySet
from sim.mapping.objective import Objective
from sim.studies.report import mapping, memory_figures
from sim.workload import file, report
from sim.workload.ops import Workload
from sim.workload.run import Run
from stamp_hw.config import HwConfig, JobConfig, NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import MAX_BLOCK

SCHEMA_VERSION = 1
BLOCK = 64  # channels of a block, of scales or of the Hadamard unit, where the configuration has none
#: Name → (bits of the weights, scheme of `stamp_hw.schemes` for the tokens).
SCHEMES = {"w8a8": (8, "a8"), "w4a8": (4, "a8"), "w4a4": (4, "a4"), "w4_first_n": (4, "first_n"),
           "w4_stamp": (4, "stamp")}
#: Name → (with a block Hadamard unit, with a scale a block).
MACHINE = "plain"  # the first of them
MACHINES = {MACHINE: (False, False), "hadamard": (True, False), "blocks": (False, True), "both": (True, True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A scheme on a machine: `phases` and `total` as in `sim.workload.report`, or the `refusal` that there is no such
    hardware or job."""

    machine: str
    scheme: str
    figures: dict[str, Any] | None
    refusal: str | None = None


def machine(name: str, config: NpuConfig) -> NpuConfig:
    """The configuration with or without the two parts. Raises ConfigError where its lanes do not allow one."""
    hadamard, blocks = MACHINES[name]
    hw, lanes = config.hw, config.hw.lanes
    block = hw.block or -(-BLOCK // lanes) * lanes
    if blocks and block > MAX_BLOCK:
        raise ConfigError("no block of whole beats", where="hw.lanes", got=lanes, expected=f"at most {MAX_BLOCK}")
    own = replace(config, hw=replace(hw, hadamard=(hw.hadamard or BLOCK) if hadamard else None,
                                     block=block if blocks else None))
    shift = "auto" if config.job.hadamard == "off" else config.job.hadamard
    return own.with_job(hadamard=shift if hadamard else "off", group=block if blocks else None)


def with_weights(config: NpuConfig, bits: int) -> NpuConfig:
    """All weights of 8 bits; or those of 4 whose kind the configuration does not keep at 8."""
    if bits == 8:
        return config.with_job(weight_bits=8, weight_group=None)

    def four(job: JobConfig) -> JobConfig:
        return replace(job, weight_bits=4)

    kinds = tuple((kind, four(job) if job.weight_bits == config.job.weight_bits else job)
                  for kind, job in config.kinds)
    return replace(config, job=four(config.job), kinds=kinds)


def rows(workload: Workload, config: NpuConfig, energy_set: EnergySet, vector_lanes: int | None,
         objective: Objective | None = None, *, prefetch: bool = True) -> list[Row]:
    """Every scheme on every machine; of one that cannot be, why. `objective` and `prefetch` as of `Run`. Raises
    ConfigError where none can."""
    found, errors = [], []
    for name in MACHINES:
        runs: dict[int, Run] = {}  # by bits of the weights: schemes share what they have in common
        for scheme, (bits, tokens) in SCHEMES.items():
            try:
                if bits not in runs:
                    runs[bits] = Run(workload, with_weights(machine(name, config), bits), energy_set, vector_lanes,
                                     objective, prefetch=prefetch)
                figures = report.of_scheme(runs[bits], tokens)
            except ConfigError as error:
                found.append(Row(machine=name, scheme=scheme, figures=None, refusal=str(error)))
                errors.append(error)
            else:
                figures["share_of_energy"] = _shares(figures["total"])
                found.append(Row(machine=name, scheme=scheme, figures=figures))
    if len(errors) == len(found):
        raise errors[-1]
    return found


def _shares(figures: Mapping[str, Any]) -> dict[str, float]:
    """Of the energy: lifting and Hadamard unit (`lifting`), scale unit, rescale and combine unit (`rescale`)."""
    whole = figures["energy_fj"] or 1  # of vector work alone there is none
    return {name: nine_digits(figures["energy_fj_by_component"].get(name, 0) / whole)
            for name in ("lifting", "scale", "rescale")}


def hardware(config: NpuConfig, energy_set: EnergySet, fitting: Mapping[str, Sequence[EnergySet]]
             ) -> dict[str, dict[str, Any]]:
    """Machine → `multipliers` and `memory_bytes` on chip, which stand for area where no gates were counted; `area_mm2`,
    set → `sim.cost.area` of the sets of gates among those `fitting` a machine; the banks of each of its `memories`,
    with the price of an access."""
    found = {}
    for name in MACHINES:
        try:
            own = machine(name, config)
        except ConfigError:
            continue
        found[name] = {"multipliers": multipliers(own.hw), "memory_bytes": banks.total_bytes(own.hw),
                       "area_mm2": {one.name: area for one in fitting.get(name, ())
                                    if (area := area_mm2(own.hw, one)) is not None},
                       "memories": bank_prices.described(own.hw, energy_set)}
    return found


def multipliers(hw: HwConfig) -> int:
    """One a PE, one a lane of the scale unit (with blocks one more, for zero), three a lane of the rescale unit, and
    with blocks one a column, of the combine unit."""
    blocks = 0 if hw.block is None else 1 + hw.cols
    return hw.rows * hw.cols + hw.lanes + rescale.MULTIPLIES_PER_LANE * hw.drain_lanes + blocks


def document(workload: Workload, config: NpuConfig, energy_sets: Sequence[EnergySet], vector_lanes: int | None,
             version: str, objective: Objective | None = None, *, at_hand: Sequence[EnergySet] = (),
             prefetch: bool = True) -> dict[str, Any]:
    """All rows under the first set, and energy and order of schemes under every set, each with super-tiles searched
    for the `objective` under that set, None: the largest. Sets `at_hand` are left out where no machine fits them, which
    raises ConfigError of the others."""
    base = rows(workload, config, energy_sets[0], vector_lanes, objective, prefetch=prefetch)
    by_set, orders = {}, {}
    for number, one in enumerate([*energy_sets, *at_hand]):
        try:
            found = base if number == 0 else rows(workload, config, one, vector_lanes, objective, prefetch=prefetch)
        except ConfigError as error:
            if number < len(energy_sets):
                raise
            by_set[one.name] = _under(one, ()) | {"refused": {MACHINE: str(error)}}
            continue
        by_set[one.name] = _under(one, found)
        orders[one.name] = {name: order(found, name) for name in by_set[one.name]["machines"]}
    fitting = {name: [one for one in (*energy_sets, *at_hand) if name in by_set[one.name]["machines"]]
               for name in MACHINES}
    return {
        "schema_version": SCHEMA_VERSION, "version": version, "workload": file.to_dict(workload),
        "config": config.to_dict(), "energy_set": energy_sets[0].describe(), **memory_figures(config.hw.memory),
        "vector_lanes": vector_lanes, "prefetch": prefetch, **mapping(objective),
        "hardware": hardware(config, energy_sets[0], fitting), "energy_by_set": by_set,
        "orders_by_energy": orders, "survives": survives(orders),
        "rows": [{"machine": row.machine, "scheme": row.scheme, "refusal": row.refusal, **(row.figures or {})}
                 for row in base],
    }


def order(found: Sequence[Row], name: str) -> list[str]:
    """Schemes of a machine, the one of the least energy first; those of one energy together, as `w4a8 = w8a8`."""
    energies = {row.scheme: row.figures["total"]["energy_fj"] for row in found if row.machine == name and row.figures}
    return [" = ".join(sorted(scheme for scheme, own in energies.items() if own == energy))
            for energy in sorted(set(energies.values()))]


def survives(orders: Mapping[str, Mapping[str, list[str]]]) -> dict[str, bool]:
    """Machine → whether every set that fits it puts its schemes into the same order."""
    return {name: len({tuple(by_machine[name]) for by_machine in orders.values() if name in by_machine}) <= 1
            for name in MACHINES}


def _under(one: EnergySet, found: Sequence[Row]) -> dict[str, Any]:
    """`machines` → scheme → phase → J a unit, `clock_mhz` of gates, and `refused`: machine → why it has no figures."""
    machines: dict[str, dict[str, dict[str, float]]] = {}
    for row in found:
        if row.figures:
            machines.setdefault(row.machine, {})[row.scheme] = {
                name: phase["energy_j_per_unit"] for name, phase in row.figures["phases"].items()}
    refused = {row.machine: row.refusal for row in found if row.refusal and row.machine not in machines}
    return {"node": one.node, "clock_mhz": one.clock_mhz, "machines": machines, "refused": refused}
