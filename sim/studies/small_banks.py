"""How much hangs on the price of small banks: `python -m sim.studies.small_banks`.

The published points of an energy set end at a few kilobytes, and many banks of the engine are smaller. Below the first
point the price falls with the root of a bank's size; here it stays what it is there, layer by layer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sim.cost import energy, layer_cost
from sim.cost.energy import EnergySet
from sim.task import Shape
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.formats.files import write_json
from stamp_hw.rooms import HOME, build_folder
from stamp_hw.text import align, number

#: Configuration → (tokens, K, N) of a layer of what it is for.
LAYERS = {"default": (512, 192, 192), "language": (512, 576, 576), "npu32": (2048, 4096, 4096)}
SCHEME = "stamp"
_MEMORY = "memory.access"


def held(energy_set: EnergySet) -> EnergySet:
    """The set with a further point, so that no bank costs less than its first one."""
    constant = energy_set.constants[_MEMORY]
    points = ((1.0, constant.points[0][1]), *constant.points)
    return replace(energy_set, constants={**energy_set.constants, _MEMORY: replace(constant, points=points)})


def rows() -> Iterator[dict[str, Any]]:
    """fJ of the on-chip memories and of all, as they are (`memories`, `total`) and with the price `held`."""
    for name, (tokens, k, n) in LAYERS.items():
        config = schemes.configure(SCHEME, NpuConfig.load(HOME / "configs" / f"{name}.yaml"))
        shape, chosen = Shape(name="", tokens=tokens, k=k, n=n), energy.load(config.hw.technology)
        found: dict[str, Any] = {"config": name, "shape": f"{tokens}x{k}x{n}"}
        for prefix, one in (("", chosen), ("held_", held(chosen))):
            events = layer_cost.cost(shape, config, one).events
            spent = {part: sum(round(1000 * event.energy_pj) for event in events[part].values()) for part in events}
            found |= {f"{prefix}memories_fj": spent["memory"], f"{prefix}total_fj": sum(spent.values())}
        yield found


def main() -> int:
    """Print the table and write `small_banks.json` into the build folder."""
    found = list(rows())
    write_json(build_folder() / "small_banks.json", {"scheme": SCHEME, "rows": found})
    table = [(row["config"], row["shape"], *(number(row[key] / 1e9, 2) for key in (
        "memories_fj", "total_fj", "held_memories_fj", "held_total_fj"))) for row in found]
    title = f"Energy of a layer under {SCHEME}, µJ; held: no bank costs less than one of the first point\n"
    sys.stdout.write(title + align(
        ("config", "layer", "memories", "all", "memories, held", "all, held"), table, left=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
