"""Layers of given shapes, without data: cycles, bytes and energy under several schemes, and no accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.cost import bank_prices
from sim.cost.energy import EnergySet
from sim.mapping import search
from sim.mapping.objective import Objective
from sim.mapping.precision import precision
from sim.studies import accuracy, report
from sim.studies.report import Outcome
from sim.task import Shape
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.engine.job import COLUMNS_WIDTH
from stamp_hw.errors import ConfigError


def shape_of(name: str, tokens: tuple[int, ...], k: int, n: int, config: NpuConfig) -> Shape:
    """A sequence of so many tokens, or a grid (H, W). Raises ConfigError for what no engine takes."""
    limit = (2**COLUMNS_WIDTH - 1) * config.hw.cols
    if not (1 <= n <= limit and min(*tokens, k) >= 1):
        raise ConfigError("impossible shape", where="--shape", got=name, expected=f"sizes from 1 on, N up to {limit}")
    height, width = (1, *tokens)[-2:]
    n_sink = len(config.job.outliers_of((), height * width))
    return Shape(name=name, tokens=height * width, k=k, n=n, n_sink=n_sink,
                 grid=(height, width) if len(tokens) == 2 else None)


def run(shape: Shape, config: NpuConfig, energy_set: EnergySet, wanted: Sequence[str],
        objective: Objective | None = None) -> dict[str, Outcome]:
    """Scheme → outcome without accuracy, in the largest super-tiles that fit or in what a search for the `objective`
    finds. Raises StampError for a job beyond the hardware.
    """
    config.check_n_hi([("", shape.tokens)])
    limit = accuracy.token_limit(shape, config)
    outcomes = {}
    for scheme in wanted:
        cost = search.cost(shape, schemes.configure(scheme, config), energy_set, limit, objective)
        outcomes[scheme] = Outcome(cost=cost, accuracy=None, kind="", precision=None if objective is None else
                                   precision(cost.task.job, config.hw, cost.size))
    return outcomes


def document(study: Mapping[str, Mapping[str, Outcome]], config: NpuConfig, energy_set: EnergySet, *, version: str,
             objective: Objective | None = None) -> dict[str, Any]:
    """A report of layers named by their shapes, `shape` (all of them) instead of a trace, without the figures of
    accuracy; `objective` of a search for super-tiles."""
    return {
        "schema_version": report.SCHEMA_VERSION,
        "version": version,
        "shape": " ".join(study),
        "config": config.to_dict(),
        "energy_set": energy_set.describe(),
        "memories": bank_prices.described(config.hw, energy_set),
        **report.mapping(objective),
        **report.memory_figures(config.hw.memory),
        "layers": {name: {scheme: report.layer_figures(outcome, config.hw) for scheme, outcome in outcomes.items()}
                   for name, outcomes in study.items()},
        "totals": {scheme: report.totals([outcomes[scheme] for outcomes in study.values()])
                   for scheme in report.schemes_of(study)},
    }
