"""The figures of a point under a scheme, flat, and which way each is better.

Formulas are those of `sim.workload.report`; `pes` and `activation_buffer_bytes` say how large the hardware is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sim.workload import report
from sim.workload.ops import Workload
from sim.workload.run import Run
from sim.workload.totals import total
from stamp_hw.errors import ConfigError

#: Of the whole workload.
WHOLE = ("cycles", "time_s", "energy_fj", "power_w", "dram_bytes", "macs", "array_tiles", "utilization", "tops",
         "tops_per_w", "macs_per_byte", "average_bits", "bottleneck")
HARDWARE = ("pes", "activation_buffer_bytes")
#: Of each phase, as `prefill.units_per_s`.
PHASE = ("cycles", "time_s", "units_per_s", "energy_j_per_unit", "utilization", "memory_units_per_s",
         "array_units_per_s", "bottleneck")
_MOST = {"utilization", "tops", "tops_per_w", "macs_per_byte", "units_per_s", "memory_units_per_s", "array_units_per_s"}
_NO_GOALS = {"macs", "average_bits", "bottleneck", "mapping"}  # what workload and job decide, and what is no number


def of(run: Run, scheme: str) -> dict[str, Any]:
    """The figures of a workload under a scheme. Raises StampError for a job beyond the hardware."""
    hw, parts = run.config.hw, []
    phases: dict[str, Any] = {}
    for phase in run.workload.phases:
        parts.append(total(run.of(phase, scheme).values()))
        found = report.phase_figures(parts[-1], phase, hw)
        phases |= {f"{phase.name}.{name}": found[name] for name in PHASE}
    whole = report.figures(total(parts), hw)
    return {**{name: whole[name] for name in WHOLE}, "pes": hw.rows * hw.cols,
            "activation_buffer_bytes": 2 * hw.act_slots * hw.max_k, **phases}


def names(workloads: Iterable[Workload]) -> list[str]:
    """All figures that some of the workloads have."""
    phases = dict.fromkeys(phase.name for workload in workloads for phase in workload.phases)
    return [*WHOLE, *HARDWARE, *(f"{phase}.{name}" for phase in phases for name in PHASE)]


def check_goals(where: str, goals: Iterable[str], known: Iterable[str], moved: Iterable[str]) -> None:
    """Raise ConfigError for an objective that is neither a figure with a better side nor a field of an axis."""
    possible = [name for name in (*known, *moved) if name.rpartition(".")[2] not in _NO_GOALS]
    for goal in goals:
        if goal not in possible:
            raise ConfigError("no such objective", where=where, got=goal, expected=f"some of {', '.join(possible)}")


def more_is_better(goal: str) -> bool:
    """Whether a front takes the most of a figure; of a field of an axis, a cost, it takes the least."""
    return not goal.startswith(("hw.", "job.", "workload.")) and goal.rpartition(".")[2] in _MOST


def value(goal: str, values: Mapping[str, Any], figures: Mapping[str, Any]) -> float | None:
    """An objective's number at a point, None where it has none there."""
    found = values.get(goal, figures.get(goal))
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
