"""Every layer of a trace under every scheme: the golden model for accuracy, the cycle and energy models for cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sim import schemes, workload
from sim.energy import EnergySet
from sim.report import Outcome
from sim.schemes import TokenEnergy
from sim.task import Shape
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.safetensors_file import printable
from stamp_hw.trace import Trace

Progress = Callable[[str], None]


def chosen(trace: Trace, pattern: str) -> tuple[str, ...]:
    """Layers in which the regular expression is found. Raises StampError for none, or for no regular expression."""
    try:
        found = tuple(name for name in trace.layer_names if re.search(pattern, name))
    except (re.error, OverflowError, RecursionError) as error:  # a{9999999999}; thousands of nested brackets
        raise StampError("not a regular expression", where="--layers",
                         got=f"{printable(repr(pattern))} ({printable(error)})") from None
    if not found:
        raise StampError("no layer matches", where="--layers", got=printable(repr(pattern)),
                         expected="a name that `stamp-hw trace info` lists")
    return found


def check_n_hi(trace: Trace, config: NpuConfig, names: Sequence[str]) -> None:
    """Raise ConfigError where a job's n_hi is beyond the tokens of each of these layers that takes it."""
    layers = []
    for name in names:
        entry = trace.entry(name)
        n_sink = config.for_kind(entry.kind).job.n_sink
        tokens = trace.tensor(entry.input).shape[0] - (entry.n_sink if n_sink == "auto" else n_sink)
        layers.append((entry.kind, tokens))
    config.check_n_hi(layers)


def run(trace: Trace, config: NpuConfig, energy_set: EnergySet, names: Sequence[str], wanted: Sequence[str], seed: int,
        progress: Progress = lambda _line: None) -> tuple[dict[str, dict[str, Outcome]], dict[str, TokenEnergy]]:
    """(layer → scheme → outcome, layer → energy of its tokens under `stamp`), a layer at a time.

    The second is empty unless `stamp` is among the schemes wanted, and leaves out layers that are not transformed.

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
            limit = schemes.token_limit(shape, own)
            outcomes: dict[str, Outcome] = {}
            for scheme in wanted:
                progress(f"layer {index + 1} of {len(names)}, {scheme}: {name}")
                accuracy, energy = schemes.run(layer, scheme, own, seed)
                cost = workload.cost(shape, schemes.configure(scheme, own), energy_set, limit)
                outcomes[scheme] = Outcome(cost=cost, accuracy=accuracy, kind=layer.kind, transform=layer.transform)
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
