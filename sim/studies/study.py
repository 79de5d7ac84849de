"""Every layer of a trace under every scheme: the golden model for accuracy, the cycle and energy models for cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sim.cost.energy import EnergySet
from sim.mapping import search
from sim.mapping.objective import Objective
from sim.mapping.precision import precision
from sim.studies.accuracy import TokenEnergy, measure, token_limit
from sim.studies.report import Outcome
from sim.task import Shape
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import printable
from stamp_hw.formats.trace import Trace

Progress = Callable[[str], None]


def run(trace: Trace, config: NpuConfig, energy_set: EnergySet, names: Sequence[str], wanted: Sequence[str], seed: int,
        progress: Progress = lambda _line: None, objective: Objective | None = None
        ) -> tuple[dict[str, dict[str, Outcome]], dict[str, TokenEnergy]]:
    """(layer → scheme → outcome, layer → energy of its tokens under `stamp`), a layer at a time.

    Super-tiles are the largest that fit, or what a search for the `objective` finds for each layer and scheme. The
    second is empty unless `stamp` is among the schemes wanted, and leaves out layers that are not transformed.

    Raises
    ------
    StampError : what a layer or the job was refused for; `where` names trace and layer
    """
    study: dict[str, dict[str, Outcome]] = {}
    energies: dict[str, TokenEnergy] = {}
    for index, name in enumerate(names):
        try:
            layer = trace.layer(name)
            own = config.for_kind(layer.kind)
            shape = Shape.of(layer, own)
            limit = token_limit(shape, own)
            outcomes: dict[str, Outcome] = {}
            for scheme in wanted:
                progress(f"layer {index + 1} of {len(names)}, {scheme}: {name}")
                accuracy, energy, passage = measure(layer, scheme, own, seed, values=bool(energy_set.follows))
                cost = search.cost(shape, schemes.configure(scheme, own), energy_set, limit, objective, passage)
                outcomes[scheme] = Outcome(
                    cost=cost, accuracy=accuracy, kind=layer.kind, transform=layer.transform,
                    precision=None if objective is None else precision(cost.task.job, own.hw, cost.size))
                if scheme == "stamp" and layer.transform:
                    energies[name] = energy
        except StampError as error:
            where = place(str(trace.path), name, error.where)
            raise type(error)(error.what, where=where, got=error.got, expected=error.expected) from error
        study[name] = outcomes
    return study, energies


def place(path: str, layer: str, inner: str) -> str:
    """Trace, layer and the place inside it, each named once."""
    if path in inner:
        return inner
    here = f"{path}, layer {printable(layer)}"
    inner = inner.removeprefix(f"layer {layer}").lstrip(", :")
    return f"{here}, {inner}" if inner else here
