"""From the packed PE to the split one with gated clocks, step by step, each with what it brings.

    python -m rtl_gen.asic.steps [--liberty freepdk45] [--hw block=64]

prints area, slowest path and energy of each (docs/adr/0026-split-multiplier.md). The PEs between the first and the last
are made here and delivered nowhere; their gates run against NumPy's sums as those of the others do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rtl_gen.asic import gating, pe, pe_variants
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.gating import Figures
from rtl_gen.asic.library import Library
from rtl_gen.asic.pe_variants import Form, VariantPe
from stamp_hw.hw_config import PACKED, SPLIT
from stamp_hw.params import MacParams

HEAD = ("step", "µm²", "part", "ps", "pJ/4-bit", "part", "pJ/8-bit", "pJ/bubble")


def forms(params: MacParams) -> dict[str, Form]:
    """Step → the PE behind it, without gated clocks; the last one is the PE that is delivered."""
    last = pe_variants.of_split(replace(params, multiplier=SPLIT))
    return {"two products, a sum each": replace(last, rows=False, stages=params.mul_stages, enables=False),
            "rows of single bits": replace(last, stages=params.mul_stages, enables=False),
            "one product register": replace(last, enables=False), "enables by valid": last}


def steps(params: MacParams, library: Library, wires: Wires) -> Iterator[tuple[str, Figures]]:
    """Each step and its figures, the packed PE first."""
    packed, split = (replace(params, multiplier=kind) for kind in (PACKED, SPLIT))
    yield "packed", gating.figures(packed, library, wires, gated=False)
    for name, form in forms(params).items():
        bench = pe_variants.bench(form, (pe.EIGHT, pe.FOUR), gating.operands(), gating.IDLE_CYCLES)
        yield name, gating.priced(VariantPe(form), bench, library, wires, gated=False)
    yield "gated clocks", gating.figures(split, library, wires, gated=True)


def table(found: Sequence[tuple[str, Figures]]) -> list[tuple[str, ...]]:
    """A row a step; parts are of the first."""
    first = found[0][1]
    return [(name, f"{one.area_um2:.0f}", f"{one.area_um2 / first.area_um2:.2f}", f"{one.path_ps:.0f}",
             f"{one.pj[pe.FOUR] / 2:.2f}", f"{one.pj[pe.FOUR] / first.pj[pe.FOUR]:.2f}", f"{one.pj[pe.EIGHT]:.2f}",
             f"{one.pj[pe.IDLE]:.2f}") for name, one in found]


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    gating.program("rtl_gen.asic.steps", HEAD, lambda library, wires, params: table(
        list(steps(params, library, wires))), words)


if __name__ == "__main__":
    main()
