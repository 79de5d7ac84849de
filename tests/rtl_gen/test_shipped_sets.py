"""The energy set of osu018 that ships is what `stamp-hw characterize` makes, and has nothing of the library in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rtl_gen.asic import energy_set, layers, libraries, library
from rtl_gen.asic.characterize import characterize
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.parts import parts
from sim.cost import energy
from stamp_hw.config import NpuConfig

NAMED = libraries.find("osu018") if libraries.known()["osu018"].path.is_file() else None
needs_library = pytest.mark.skipif(NAMED is None, reason="needs osu018 (apt-get install qflow-tech-osu018)")


def test_it_is_of_the_default_hardware_and_names_its_command() -> None:
    text = energy.shipped_text("osu018")
    assert text.startswith("# Written by `stamp-hw characterize --liberty osu018 --out osu018.yaml`")
    assert energy.load("osu018").hardware == NpuConfig().hw
    assert set(energy.load("osu018").gates) == {
        "lifting", "scale", "pe", "array", "rescale", "inverse", "finish", "control"}


@needs_library
def test_no_cell_of_the_library_is_named_in_it() -> None:
    assert NAMED is not None
    cells = library.load(NAMED.path, NAMED.slew).cells
    assert len(cells) > 20 and not [name for name in cells if name in energy.shipped_text("osu018")]


@pytest.mark.rtl
@needs_library
def test_a_block_of_it_is_what_the_command_finds_today(tmp_path: Path) -> None:
    """The smallest block, whole: mapped, simulated and priced again. Where this differs, make the set again."""
    assert NAMED is not None
    cells, wires, config = library.load(NAMED.path, NAMED.slew), Wires(ff=NAMED.wire_ff), NpuConfig()
    (part,) = parts(config, "finish", layers=layers.made(layers.FITTED, config, layers.SEED))
    made = energy_set.document([characterize(part, cells, wires)], "osu018", NAMED, cells, wires, config.hw,
                               energy_set.VECTORS)
    shipped = yaml.safe_load(energy.shipped_text("osu018"))
    assert made["gates"]["units"]["finish"] == shipped["gates"]["units"]["finish"]
    assert made["constants"]["finish.add"] == shipped["constants"]["finish.add"]
    assert made["gates"]["follows"]["finish"] == shipped["gates"]["follows"]["finish"]
    for key in ("name", "node", "base", "memories", "sources", "not_modelled"):
        assert made[key] == shipped[key]
    assert made["gates"]["hardware"] == shipped["gates"]["hardware"]
