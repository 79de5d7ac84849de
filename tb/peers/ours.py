"""The same questions to this project's simulator: the products, what each costs, and how long the answer takes."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sim.cost import energy, layer_cost
from sim.cost.energy import EnergySet
from sim.cost.layer_cost import Cost
from sim.engine.closed_form import PARTS
from sim.memory import OPERANDS
from sim.task import Shape
from sim.workload import find
from sim.workload.ops import Linear, Phase, Workload
from stamp_hw import rooms, schemes
from stamp_hw.config import NpuConfig

CONFIG = rooms.HOME / "configs" / "npu32.yaml"
MODEL, TOKENS = "llama-3-8b", 2048
SCHEME = "a8"  # tokens and weights of 8 bits, which is all that the others have words for
REPEATS = 5
#: Energy of an event of ours → the part of ZigZag's that it stands beside; all others are of units that ZigZag's
#: accelerator does not have.
BESIDE = {("mac", "multiply_8bit_row"): "multiply", ("mac", "multiply_4bit_row"): "multiply",
          ("mac", "accumulate"): "accumulate", ("memory", "activation_low"): "activation_buffer",
          ("memory", "activation_high"): "activation_buffer",
          ("memory", "weight_buffer"): "weight_buffer", ("memory", "output_buffer"): "output_buffer",
          ("dram", "activations"): "dram_activations", ("dram", "weights"): "dram_weights",
          ("dram", "outputs"): "dram_outputs"}
ONLY_OURS = "only_ours"
Product = tuple[str, int, int, int]


def layer() -> Workload:
    """The linear layers of a block of the model, each a job of its own."""
    (prefill,) = find.workload(MODEL, find.Ask(prefill=TOKENS, decode=0)).phases
    ops = tuple(Linear(name=kind, tokens=op.tokens, k=op.k, outputs=((kind, n),))
                for op in prefill.ops if isinstance(op, Linear) and op.name != "lm_head" for kind, n in op.outputs)
    return Workload(name="layer", phases=(Phase(name="prefill", unit="token", produces=TOKENS, ops=ops),))


def products() -> list[Product]:
    """(name, m, k, n) of `layer`."""
    return [(op.name, op.tokens, op.k, op.outputs[0][1]) for op in layer().phases[0].ops if isinstance(op, Linear)]


def configured() -> tuple[NpuConfig, EnergySet]:
    """The hardware under `SCHEME`, and the constants that it names, from their files."""
    config = NpuConfig.load(CONFIG)
    return schemes.configure(SCHEME, config), energy.load(config.hw.technology)


def costs(asked: list[Product], config: NpuConfig, energy_set: EnergySet) -> dict[str, Cost]:
    """Cycles, bytes and energy of each product by itself: nothing that is known of the one before is used again."""
    found = {}
    for name, m, k, n in asked:
        forget()
        found[name] = layer_cost.cost(Shape(name=name, tokens=m, k=k, n=n), config, energy_set)
    return found


def forget() -> None:
    """Empty what the modules of the model remember of jobs that they have seen; constants of energy stay read."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("sim.", "stamp_hw.")) and name != energy.__name__:
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """CPU seconds of this process: the median of some runs."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def figures(cost: Cost) -> dict[str, Any]:
    """Cycles by part, bytes by operand, pJ by the parts of `BESIDE`; each adds up to its total."""
    cycles = {part: getattr(cost.cycles, part) for part in PARTS}
    found: Counter[str] = Counter()
    for component, events in cost.events.items():
        for name, event in events.items():
            found[BESIDE.get((component, name), ONLY_OURS)] += event.energy_pj  # type: ignore[assignment]
    moved = {operand: getattr(cost.dram, operand) for operand in OPERANDS}
    return {"cycles": cycles | {"total": cost.cycles.total}, "dram_bytes": moved | {"total": cost.dram.total},
            "energy_pj": dict(found) | {"total": sum(found.values())}}


def summed(rows: list[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Figures of several products, added up by name."""
    total: dict[str, dict[str, Any]] = {}
    for row in rows:
        for kind, values in row.items():
            into = total.setdefault(kind, {})
            for name, value in values.items():
                into[name] = into.get(name, 0) + value
    return total
