"""The named workloads, and their figures as they are today: cycles by part, bytes by operand, energy by component.

All are whole numbers of the cycle, byte and energy models, which need shapes alone; of a trace its layers' shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.cost import energy, layer_cost
from sim.engine.closed_form import PARTS
from sim.memory import OPERANDS
from sim.studies import accuracy, shape_study
from sim.task import Shape
from sim.workload import find
from sim.workload.run import Run
from sim.workload.totals import Totals, total
from stamp_hw import rooms, schemes
from stamp_hw.config import NpuConfig
from stamp_hw.formats.trace import Trace

SCHEMES = ("a8", "a4", "first_n", "stamp")
Groups = dict[str, dict[str, Totals]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`what` it is, under a configuration of `configs/` with values of its hardware changed; `find` its totals."""

    what: str
    config: str
    find: Callable[[NpuConfig], Groups]
    hw: Mapping[str, Any] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Group → scheme → figures, as a file of this folder has them."""
        groups = self.find(NpuConfig.load(rooms.HOME / "configs" / self.config, dict(self.hw)))
        return {group: {scheme: _figures(totals) for scheme, totals in by_scheme.items()}
                for group, by_scheme in groups.items()}

    def described(self) -> dict[str, Any]:
        """What the figures are of."""
        return {"what": self.what, "config": f"configs/{self.config}", "hw": dict(self.hw)}


def _figures(totals: Totals) -> dict[str, Any]:
    return {
        "jobs": totals.jobs, "cycles": totals.cycles,
        **({"prefetch_saved_cycles": totals.saved} if totals.saved else {}),
        "cycles_by_part": {part: totals.parts[part] for part in PARTS},
        "cycles_by_limit": dict(sorted(totals.limits.items())), "macs": totals.macs, "array_tiles": totals.array_tiles,
        "dram_bytes": totals.dram_bytes, "dram_bytes_by_operand": {name: totals.dram[name] for name in OPERANDS},
        "energy_fj": totals.energy_fj, "energy_fj_by_component": totals.components()}


def shapes(*layers: tuple[tuple[int, ...], int, int]) -> Callable[[NpuConfig], Groups]:
    """(tokens or (H, W), K, N) of each layer: a group each."""
    def found(config: NpuConfig) -> Groups:
        groups = {}
        for tokens, k, n in layers:
            name = f"{'x'.join(map(str, tokens))},{k},{n}"
            groups[name] = _of_shape(shape_study.shape_of(name, tokens, k, n, config), config)
        return groups
    return found


def _of_shape(shape: Shape, config: NpuConfig) -> dict[str, Totals]:
    energy_set, limit = energy.load(config.hw.technology), accuracy.token_limit(shape, config)
    found = {}
    for scheme in SCHEMES:
        found[scheme] = Totals()
        found[scheme].add(layer_cost.cost(shape, schemes.configure(scheme, config), energy_set, limit), 1)
    return found


def trace(name: str) -> Callable[[NpuConfig], Groups]:
    """All layers of a shipped trace, by kind."""
    def found(config: NpuConfig) -> Groups:
        kinds: dict[str, list[dict[str, Totals]]] = {}
        with Trace.open(rooms.HOME / "models" / "traces" / f"{name}.safetensors") as opened:
            for layer in opened:
                own = config.for_kind(layer.kind)
                kinds.setdefault(layer.kind, []).append(_of_shape(Shape.of(layer, own), own))
        return {kind: _summed(costs) for kind, costs in sorted(kinds.items())}
    return found


def _summed(costs: Sequence[dict[str, Totals]]) -> dict[str, Totals]:
    return {scheme: total(one[scheme] for one in costs) for scheme in SCHEMES}


def model(name: str, **asked: Any) -> Callable[[NpuConfig], Groups]:
    """A shipped model at a small size: a group a phase."""
    def found(config: NpuConfig) -> Groups:
        workload = find.workload(name, find.Ask(**asked))
        run = Run(workload, config, energy.load(config.hw.technology), None)
        return {phase.name: {scheme: total(run.of(phase, scheme).values()) for scheme in SCHEMES}
                for phase in workload.phases}
    return found


REFERENCES: dict[str, Reference] = {
    "squares": Reference(
        what="layers from a tile to many super-tiles, one that no size divides",
        config="default.yaml", find=shapes(((8,), 8, 8), ((512,), 512, 512), ((2048,), 192, 768), ((77,), 131, 45))),
    "grids": Reference(what="grids of an image, one that no Haar tile divides", config="image.yaml",
                       find=shapes(((16, 16), 192, 192), ((32, 32), 576, 192), ((13, 21), 100, 50))),
    "drain": Reference(what="an array that waits for its drain", config="npu32.yaml",
                       hw={"rows": 128, "cols": 128, "act_slots": 4224}, find=shapes(((2048,), 4096, 4096))),
    "slow_memory": Reference(what="a token and a sequence at 1 GB/s", config="npu32.yaml",
                             hw={"dram_bytes_per_s": 1e9}, find=shapes(((1,), 4096, 4096), ((256,), 4096, 1024))),
    "trace_llama_small": Reference(what="layers of a trace", config="default.yaml", find=trace("llama_small")),
    "trace_pixart_small": Reference(what="layers of a trace", config="default.yaml", find=trace("pixart_small")),
    "trace_smollm2": Reference(what="layers of a trace, block scales, packed weights", config="language.yaml",
                               find=trace("smollm2")),
    "llama_3_8b": Reference(what="a prompt of 256 tokens and 4 steps of 2 sequences", config="npu32.yaml",
                            find=model("llama-3-8b", prefill=256, decode=4, batch=2)),
    "smollm2_135m": Reference(what="a prompt of 128 tokens and 8 steps, keys and values of 4 bits",
                              config="language.yaml", find=model("smollm2-135m", prefill=128, decode=8, kv_bits=4)),
    "pixart_sigma": Reference(what="an image of 512 x 512 in 2 steps", config="npu32.yaml",
                              find=model("pixart-sigma-512", size=512, steps=2)),
}
