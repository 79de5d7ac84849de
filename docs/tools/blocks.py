"""What a block's page says of its hardware and its checks: `python -m docs.tools.blocks`.

In docs/blocks/*.md the text between the two marks is read off the component's signature, its parameters, its bench, its
properties and its faults; all else on the page is written by people. docs/reference/registers.md and npu.md are the
delivered ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data
from amaranth.lib.wiring import In

from docs.tools.results import ROOT
from docs.tools.write import write
from rtl_gen.delivery import handover, handover_npu
from rtl_gen.tops import BLOCKS, Unit
from stamp_hw.config import NpuConfig
from stamp_hw.dma.params import DmaParams
from tb.formal import PROVE
from tb.formal.table import PROPERTIES
from tb.run.block import tests_of

FOLDER = ROOT / "docs" / "blocks"
REGISTERS, NPU = (ROOT / "docs" / "reference" / f"{name}.md" for name in ("registers", "npu"))
BLOCK = 64  # channels of a block, on a page of hardware with blocks
BEGIN, END = "<!-- from here on written by make docs -->", "<!-- to here -->"
STREAMS = ("A stream has `valid` and `ready` beside its fields ([contract](../contract.md) §4). Fields of `job` are "
           "registers of a unit; `events` counts what costs energy.")


def shape(value: Any) -> str:
    """A field's width as a reader thinks of it: bits, with its sign, times its lanes."""
    if isinstance(value, data.ArrayLayout):
        return f"{value.length} × {shape(value.elem_shape)}"
    cast = Shape.cast(value)
    return f"{cast.width} bit{'s' * (cast.width != 1)}{', signed' * cast.signed}"


def members(layout: Any) -> str:
    """Fields of a struct; of a plain value its width."""
    if isinstance(layout, data.StructLayout):
        return ", ".join(f"`{name}` ({shape(value)})" for name, value in layout.members.items())
    return shape(layout)


def ports(signature: Any) -> Iterator[str]:
    """A row a port: direction, kind, fields."""
    for name, member in signature.members.items():
        way = "in" if member.flow == In else "out"
        if member.is_signature:  # all of them are streams
            yield f"| `{name}` | stream {way} | {members(member.signature.members['payload'].shape)} |"
        else:
            yield f"| `{name}` | {way} | {members(member.shape)} |"


def unit(one: Unit, config: NpuConfig) -> list[str]:
    """Parameters, latency and ports of a top module at the default configuration, with the blocks or the unit that it
    needs."""
    built = config if one.is_built(config.hw) else config.with_hw(**{str(one.key): BLOCK})
    params, more = one.params(built.hw), "" if built is config else f" with `{one.key}` {BLOCK}"
    values = ", ".join(f"`{field.name}` {getattr(params, field.name)}" for field in fields(params))
    component = one.component(params)
    component._MustUse__used = True  # only its signature is read; Amaranth warns of what is never elaborated
    rows = list(ports(component.signature))
    latency = f"Latency: {params.latency} cycles. " if hasattr(params, "latency") else ""
    return [f"### `{one.module}`", "", f"{latency}Parameters, here of the default configuration{more}: {values}.", "",
            "| port | way | fields |", "|---|---|---|", *rows, ""]


#: Parts that have no page of their own, and the page of the block that they are a part of.
PAGE_OF = {"pe": "mac", "divider": "scale", "range_tree": "scale", "queue": "engine"}


def checks(block: str) -> list[str]:
    """What the bench tries, what is proved, and the mistakes that must be caught."""
    bench = importlib.import_module(f"tb.tb_{block}")
    faults = importlib.import_module(f"tb.faults.{block}").FAULTS
    proved = [one for one in PROPERTIES if PAGE_OF.get(one.block, one.block.split("_")[0]) == block]
    lines = ["## Checks", "", f"`stamp-hw verify --block {block}` runs `tb/tb_{block}.py` on "
             f"{', '.join(f'`{name}`' for name in bench.PARAMETER_SETS)}:", ""]
    lines += [f"- {name.replace('_', ' ')}" for name in tests_of(bench)]
    if proved:
        lines += ["", f"Proved by `make formal` (`stamp-hw verify formal {proved[0].name}` for one):", ""]
        lines += [f"- `{one.name}`: {one.says}{'' if one.mode == PROVE else ' (for the first cycles after reset)'}"
                  for one in proved]
    lines += ["", f"Seeded by `stamp-hw verify faults {block}`, each to be caught:", ""]
    return [*lines, *(f"- `{fault.name}`: {fault.why}" for fault in faults), ""]


def generated(block: str) -> str:
    config = NpuConfig()
    return "\n".join([BEGIN, "", "## Ports", "",
                      STREAMS, "",
                      *(line for one in BLOCKS[block] for line in unit(one, config)), *checks(block), END])


def page(text: str, block: str) -> str:
    """A block's page with its generated part as it is now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{generated(block)}{rest.partition(END)[2]}"


def registers() -> str:
    """The register map of the default configuration, as it is delivered with the Verilog."""
    config = NpuConfig()
    return handover.files(config.hw, ["stamp_engine_axi.v"], "waivers.vlt")["registers.md"]


def npu() -> str:
    """The same of its edge with a DMA, on a bus of 128 bits."""
    return handover_npu.document(DmaParams.of(NpuConfig().with_hw(bus_width=128).hw))


def pages() -> Mapping[Path, str]:
    """File → what it has to hold."""
    found = {FOLDER / f"{block}.md": page((FOLDER / f"{block}.md").read_text(encoding="utf-8"), block)
             for block in BLOCKS}
    return {**found, REGISTERS: registers(), NPU: npu()}


if __name__ == "__main__":
    write(pages())
