"""From costs and accuracies to the figures of a report: JSON and CSV (docs/simulate.md defines every figure).

A layer's figures and a scheme's totals are the same formulas over one layer or all of them: cycles, time, energy,
bytes and array tiles are sums; rates are ratios of sums; SQNRs are means of the finite ones among the layers' dB, of
layers that are transformed, with those that are not apart; average bits are weighted by activations. The same input
gives the same bytes: no paths, no dates, floats rounded to nine digits (dB to four decimals).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from sim.cost import bank_prices
from sim.cost.bank_prices import nine_digits
from sim.cost.energy import EnergySet
from sim.cost.layer_cost import Cost
from sim.engine import closed_form
from sim.engine.closed_form import PARTS
from sim.engine.early import Early
from sim.mapping.objective import Objective
from sim.mapping.precision import Precision
from sim.memory import OPERANDS
from sim.studies import drains, notices
from sim.studies.accuracy import Accuracy
from sim.studies.notices import Notice
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.memory_config import CONSTANTS, MemoryConfig

SCHEMA_VERSION = 2
CSV_FIELDS = (
    "transform", "tokens", "k", "n",
    "cycles", "bottleneck", "time_s", "tokens_per_s", "array_tiles", "macs", "tops", "utilization", "dram_bytes",
    "energy_pj", "power_w", "tops_per_w", "average_bits", "average_bits_with_scales", "sqnr_db",
    "output_sqnr_db", "headroom",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One layer under one scheme; `accuracy` None for a layer without data; `transform` as the trace says it;
    `precision` of a layer whose super-tiles were searched."""

    cost: Cost
    accuracy: Accuracy | None
    kind: str
    transform: bool = True
    precision: Precision | None = None


#: Layer → scheme → outcome.
Study = Mapping[str, Mapping[str, Outcome]]


def document(study: Study, config: NpuConfig, energy_set: EnergySet, seed: int, calibration: str, *,
             trace_sha256: str, version: str, linear_layers: int, model_linear_layers: int | None,
             objective: Objective | None = None) -> dict[str, Any]:
    """The whole report as JSON-able dictionaries; `version` of the tool, `trace_sha256` of the trace's file,
    `linear_layers` of the model that the study is of, and all that the model has, where the trace says so; the
    `objective` of a search for super-tiles, None where there was none."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": version,
        "trace_sha256": trace_sha256,
        "config": config.to_dict(),
        "energy_set": energy_set.describe(),
        "memories": bank_prices.described(config.hw, energy_set),
        **memory_figures(config.hw.memory),
        "permutation_seed": seed,
        "calibration": calibration,
        "linear_layers": linear_layers,
        "model_linear_layers": model_linear_layers,
        **mapping(objective),
        **_followed(study, energy_set),
        "layers": {name: {scheme: layer_figures(outcome, config.hw) for scheme, outcome in outcomes.items()}
                   for name, outcomes in study.items()},
        "totals": {scheme: {**totals(of := [outcomes[scheme] for outcomes in study.values()]),
                            **_in_a_row(of, config.hw)} for scheme in schemes_of(study)},
    }


def _followed(study: Study, energy_set: EnergySet) -> dict[str, list[str]]:
    """What a report of a set that can follow values says of it: the units whose energy does in every layer."""
    if not energy_set.follows:
        return {}
    found = [outcome.cost.followed for outcomes in study.values() for outcome in outcomes.values()]
    return {"follows_values": [unit for unit in energy_set.follows if all(unit in units for units in found)]}


def _in_a_row(outcomes: Sequence[Outcome], hw: HwConfig) -> dict[str, int]:
    """Cycles of all layers one behind the other, each prefetched while the one before it runs; and how many that is
    less than those of each layer alone."""
    jobs = [(outcome.cost.task, outcome.cost.size) for outcome in outcomes]
    cycles = sum(found.total for found, _ in closed_form.in_a_row(jobs, hw, [Early.WEIGHTS] * len(jobs)))
    return {"cycles_in_a_row": cycles,
            "prefetch_saved_cycles": sum(outcome.cost.cycles.total for outcome in outcomes) - cycles}


def mapping(objective: Objective | None) -> dict[str, Any]:
    """What a report says of a search for super-tiles: nothing where there was none."""
    return {} if objective is None else {"mapping": {"objective": objective}}


def memory_figures(memory: MemoryConfig | None) -> dict[str, Any]:
    """Section `memory` of a report: the constants of `hw.memory`, what of its rate the port moves, and the source of
    each constant; nothing where the configuration has a rate alone."""
    if memory is None:
        return {}
    return {"memory": {"kind": memory.kind, **{name: getattr(memory, name) for name in CONSTANTS},
                       "effective_bytes_per_s": nine_digits(memory.effective_bytes_per_s), "sources": memory.sources}}


def schemes_of(study: Study) -> tuple[str, ...]:
    """The schemes of a study, in order."""
    return tuple(next(iter(study.values())))


def layer_figures(outcome: Outcome, hw: HwConfig) -> dict[str, Any]:
    """Figures of one layer under one scheme."""
    accuracy, task, job = outcome.accuracy, outcome.cost.task, outcome.cost.task.job
    return {
        "kind": outcome.kind, "transform": outcome.transform, "tokens": job.tokens, "k": task.k, "n": task.n,
        "grid": list(job.grid) if job.grid else None, "levels": job.levels, "n_hi": job.n_hi, "n_sink": job.n_sink,
        **_figures([outcome]), "bottleneck": outcome.cost.cycles.bottleneck,
        "critical_path": dict(outcome.cost.cycles.critical_path),
        "drain": drains.figures(task.k, hw) if outcome.cost.cycles.bottleneck == "drain" else None,
        **({} if accuracy is None else
           {"s_x": nine_digits(accuracy.s_x), "s_y": nine_digits(accuracy.s_y),
            "headroom": nine_digits(accuracy.headroom), "calibration": accuracy.calibration}),
        **({} if outcome.precision is None else {"mapping": _mapping(outcome.cost, outcome.precision)}),
        "warnings": _rounded([notice.to_dict() for notice in _warnings(outcome)]),
    }


def _mapping(cost: Cost, precision: Precision) -> dict[str, Any]:
    """What was found for a layer's registers, and what another number of 8-bit tokens would do to its array tiles."""
    return {"tile_width": cost.size[0], "tile_height": cost.size[1], "array_tiles_a_column": precision.array_tiles,
            "n_hi_of_fewer_tiles": precision.fewer, "fewer_tiles": precision.fewer_tiles,
            "n_hi_of_as_many": precision.as_many}


def _warnings(outcome: Outcome) -> tuple[Notice, ...]:
    own = notices.of_job(outcome.cost.task.job.warnings) if outcome.accuracy is None else outcome.accuracy.warnings
    rows = None if outcome.precision is None else notices.rows(outcome.precision, outcome.cost.task.job.tokens)
    return own if rows is None else (*own, rows)


def totals(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of all layers under one scheme; `tokens` are those of the longest layer.

    A token of a sequence is through when every layer is; a picture is no sequence, and one step of it makes none.
    """
    figures = _figures(outcomes)
    if any(outcome.cost.task.job.grid for outcome in outcomes):
        figures["tokens_per_s"] = None
    apart = [outcome for outcome in outcomes if not outcome.transform]
    return {"layers": len(outcomes), "tokens": max(outcome.cost.task.job.tokens for outcome in outcomes),
            # Every one of these layers of the captured prefill, one after the other.
            "time_to_first_token_s": None if figures["tokens_per_s"] is None else figures["time_s"], **figures,
            "bottleneck": _most_common(outcomes),
            "untransformed": {"layers": len(apart), **_means(apart)} if 0 < len(apart) < len(outcomes) else None,
            "warnings": sum(len(_warnings(outcome)) for outcome in outcomes)}


def _most_common(outcomes: Sequence[Outcome]) -> str:
    """The bottleneck of the layers that take the most cycles."""
    cycles: dict[str, int] = {}
    for outcome in outcomes:
        name, count = outcome.cost.cycles.bottleneck, outcome.cost.cycles.total
        cycles[name] = cycles.get(name, 0) + count
    return max(cycles, key=lambda name: cycles[name])


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    costs = [outcome.cost for outcome in outcomes]
    cycles = sum(cost.cycles.total for cost in costs)
    seconds = cycles / costs[0].freq_hz
    macs = sum(cost.macs for cost in costs)
    events = _events(costs)
    energy = sum(component["energy_pj"] for component in events.values())
    values = sum(cost.task.job.tokens * cost.task.k for cost in costs)
    bits = sum(cost.task.job.average_bits * cost.task.job.tokens * cost.task.k for cost in costs) / values
    scale_bits = sum(cost.scale_bits * cost.task.job.tokens for cost in costs) / values
    dram = {operand: sum(getattr(cost.dram, operand) for cost in costs) for operand in OPERANDS}
    return {
        "cycles": cycles,
        "cycles_by_part": {part: sum(getattr(cost.cycles, part) for cost in costs) for part in PARTS},
        "fill_cycles": sum(cost.cycles.fill for cost in costs),
        "overlapped_fill_cycles": sum(cost.cycles.overlapped for cost in costs),
        "exposed_fill_cycles": sum(cost.cycles.exposed for cost in costs),
        "array_tiles": sum(cost.cycles.array_tiles for cost in costs),
        "super_tiles": sum(cost.cycles.super_tiles for cost in costs),
        "time_s": nine_digits(seconds),
        "tokens_per_s": nine_digits(max(cost.task.job.tokens for cost in costs) / seconds),
        "macs": macs,
        "tops": nine_digits(2 * macs / seconds / 1e12),
        "utilization": nine_digits(sum(cost.row_slot_steps for cost in costs)
                              / sum(cost.pes * cost.cycles.total for cost in costs)),
        "dram_bytes": sum(dram.values()),
        "dram_bytes_by_operand": dram,
        **_port(costs, seconds),
        "energy_pj": nine_digits(energy),
        "energy_by_component": _rounded(events),
        "power_w": nine_digits(energy * 1e-12 / seconds),
        "tops_per_w": nine_digits(2 * macs / energy),
        "average_bits": nine_digits(bits),
        "average_bits_with_scales": nine_digits(bits + scale_bits),
        **_accuracy(outcomes),
    }


def _port(costs: Sequence[Cost], seconds: float) -> dict[str, Any]:
    """What the one port moves in whole bursts, and the part of its time that this takes; nothing without a port."""
    moved = [cost.port_bytes for cost in costs if cost.port_bytes is not None]
    rate = costs[0].port_bytes_per_s
    if rate is None:
        return {}
    return {"port_bytes": sum(moved), "port_utilization": nine_digits(sum(moved) / (rate * seconds))}


def _accuracy(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Figures of accuracy of the layers that have data; none where no layer has. On a layer that is not transformed the
    schemes do not differ in what they are compared for, so that means are over the others where there are any."""
    accuracies = [outcome.accuracy for outcome in outcomes if outcome.accuracy is not None]
    return {} if not accuracies else {
        **_means([outcome for outcome in outcomes if outcome.transform] or outcomes),
        "saturated": {name: sum(getattr(accuracy, f"{name}_saturated") for accuracy in accuracies) for name in "xzy"},
    }


def _means(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Mean dB of the layers that have data; none where no layer has."""
    accuracies = [outcome.accuracy for outcome in outcomes if outcome.accuracy is not None]
    return {} if not accuracies else {
        **mean_decibels("sqnr_db", [accuracy.sqnr_db for accuracy in accuracies]),
        **mean_decibels("output_sqnr_db", [accuracy.output_sqnr_db for accuracy in accuracies])}


def _events(costs: Sequence[Cost]) -> dict[str, Any]:
    """Component → energy and events, summed over layers."""
    summed: dict[str, Any] = {}
    for cost in costs:
        for component, events in cost.events.items():
            into = summed.setdefault(component, {"energy_pj": 0.0, "events": {}})
            for name, event in events.items():
                entry = into["events"].setdefault(name, {"count": 0, "energy_pj": 0.0})
                entry["count"] += event.count
                entry["energy_pj"] += event.energy_pj
                into["energy_pj"] += event.energy_pj
    return summed


def write_json(report: Mapping[str, Any], stream: IO[str]) -> None:
    """The report as UTF-8 JSON."""
    json.dump(report, stream, indent=1, ensure_ascii=False, allow_nan=False)
    stream.write("\n")


def write_csv(report: Mapping[str, Any], stream: IO[str]) -> None:
    """One line a layer and scheme, one of a scheme's totals, and one of the mean dB of layers without transform where
    there are others; what a line has no figure for is empty.

    The first column tells them apart (`layer`, `total` or `untransformed`), whatever a layer is called.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("scope", "layer", "kind", "scheme", *CSV_FIELDS, *(f"{name}_saturated" for name in "xzy"),
                     *(f"cycles_{part}" for part in PARTS)))
    rows = [("layer", name, schemes) for name, schemes in report["layers"].items()]
    rows.append(("total", "TOTAL", report["totals"]))
    rows.append(("untransformed", "UNTRANSFORMED", {scheme: apart for scheme, figures in report["totals"].items()
                                                    if (apart := figures["untransformed"])}))
    for scope, layer, schemes in rows:
        for scheme, figures in schemes.items():
            writer.writerow((scope, layer, figures.get("kind"), scheme, *(figures.get(field) for field in CSV_FIELDS),
                             *figures.get("saturated", dict.fromkeys("xzy")).values(),
                             *(figures.get("cycles_by_part", {}).get(part) for part in PARTS)))


def mean_decibels(name: str, values: Sequence[float]) -> dict[str, Any]:
    """Mean of the finite values, or None; and "inf" or "-inf" where all values are that one, else None."""
    finite = [value for value in values if math.isfinite(value)]
    infinite = str(values[0]) if not finite and len(set(values)) == 1 else None
    return {name: round(sum(finite) / len(finite), 4) if finite else None, f"{name}_infinite": infinite,
            **({f"{name}_layers": len(finite)} if len(values) > 1 else {})}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return nine_digits(value) if isinstance(value, float) else value
