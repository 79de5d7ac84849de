"""Gates: mapped from Verilog, equal to the golden model under Verilator, timed and priced as tables by hand say."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.asic import energy, gates, opensta, pe, simulate, timing, traced
from rtl_gen.asic.bench import IDLE, of_table, seeded
from rtl_gen.asic.characterize import characterize
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.mapping import map_files
from rtl_gen.asic.parts import parts
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, ToolError
from tests.support.asic_cases import KEEPS, TURNS, five
from tests.support.refusals import TRACE, refused

SMALL = NpuConfig.from_dict({"hw": {"rows": 2, "cols": 2, "lanes": 2, "acc_width": 24, "max_k": 64, "mul_stages": 1,
                                    "max_tokens": 64, "act_slots": 64, "axes": 1, "max_levels": 3, "in_width": 8}})
WIRES = Wires(ff=2.0, fanout=16)


@pytest.mark.rtl
def test_energy_of_a_register_that_turns_is_what_its_tables_say() -> None:
    """By hand, in fJ a cycle: each net ½·1 V²·(1 fF + 2 fF of wire) a pin, an inverter 0.5, Q 5, D 1; clock pins."""
    library = five()
    netlist = map_files({"turns.v": TURNS}, "turns", library)
    rows = [{"phase": 0, "rst": 1}] * 3 + [{"phase": 0}] * 2 + [{"phase": 1, "q": n % 2} for n in range(64)]
    rows += [{"phase": 2}] * 8
    bench = of_table("turns", {"rst": 1}, {"q": 1, "rests": 1}, rows, {1: "turn", IDLE: "idle"})
    activity = simulate.simulate(netlist, library, bench, {})[1]
    cells = netlist.counts()
    assert cells["DFF"] == 2 and activity.cycles == 64
    found = energy.energy(netlist, library, activity, WIRES)
    loads = energy.loads_of(netlist, library, WIRES)
    turning = [net for net, count in activity.toggles.items() if count == 64]
    assert sum(count not in (0, 64) for count in activity.toggles.values()) == 0
    assert len(turning) >= 2 and netlist.ports["clk"][1][0] not in turning
    assert found.nets == pytest.approx(sum(loads[net] for net in turning) / 2)
    assert all(load % 3.0 == 0 for load in loads.values())  # so many pins, each 1 fF and 2 fF of wire
    # One flip-flop turns in every cycle: Q 5, D 1, CK 3, of the falling edge alone; the other one's CK is 2 + 2.
    assert found.registers == pytest.approx(5.0 + 1.0)
    assert found.clock_pins == pytest.approx(3.0 + 4.0)
    # Two clock pins of 3 fF at 1 V, and one buffer: its pin, and twice its mean internal energy.
    assert found.clock_tree == pytest.approx(2 * 3.0 + 3.0 + 2 * 1.0)


@pytest.mark.rtl
def test_gates_that_are_wrong_are_found() -> None:
    library = five()
    (part,) = parts(SMALL, "pe")
    netlist = map_files(part.files, part.top, library)
    name, (_, pins, parameters) = next(item for item in netlist.cells.items() if item[1][0] == "NAND2")
    wrong = replace(netlist, cells={**netlist.cells, name: ("NOR2", pins, parameters)})
    with pytest.raises(ToolError, match="gates that do not do what the golden model does"):
        simulate.simulate(wrong, library, part.bench, {})


@pytest.mark.rtl
def test_a_pe_of_gates_is_the_golden_model_and_has_a_price_for_each_kind_of_step(rng: np.random.Generator) -> None:
    """Its sums are NumPy's, of codes of all kinds, both ends of the range among them."""
    (part,) = parts(SMALL, "pe")
    steps = 512
    operands = pe.Operands(codes8=rng.integers(-128, 128, steps), codes4=rng.integers(-8, 8, (steps, 2)),
                           weights=rng.choice(np.array([-128, 127, -1, 0, 55]), steps))
    params = pe.MacParams.of(SMALL.hw)
    found = characterize(replace(part, bench=pe.bench(params, operands, 64)), five(), WIRES)
    assert found.energy_pj["mac.step8"] > 0 and found.energy_pj["mac.step4"] > 0
    assert found.busy_pj > found.idle_pj == pytest.approx(found.clock_pj)  # at rest nothing but the clock moves
    assert found.flip_flops == found.flip_flop_um2 / 6.0 and found.gate_equivalents == found.area_um2 / 1.5
    held = 17 + 8 + 2 * (params.acc_width + params.pair_width) + 24 * params.mul_stages + 3 * (1 + params.mul_stages)
    assert held - 8 <= found.flip_flops <= held  # of an 8-bit product no more bits are kept than are read
    assert found.memory_bits == 0 and found.count == 4


@pytest.mark.rtl
def test_a_memory_stays_whole_and_reads_what_was_written() -> None:
    library = five()
    netlist = map_files({"keeps.v": KEEPS}, "keeps", library)
    assert netlist.counts()[gates.MEMORY] == 1 and netlist.counts().get("DFF", 0) == 0
    rows = [{"phase": 0, "en": 1, "at": at, "d": 7 * at + 3} for at in range(8)]
    rows += [{"phase": 1, "at": at} | ({"q": 7 * (at - 1) + 4} if at else {}) for at in range(8)] + [{"phase": 2}] * 4
    bench = of_table("keeps", {"en": 1, "at": 3, "d": 6}, {"q": 6}, rows, {1: "read", IDLE: "idle"})
    assert simulate.simulate(netlist, library, bench, {})[1].cycles == 8


@pytest.mark.rtl
@pytest.mark.skipif(shutil.which("sta") is None, reason="needs OpenSTA (apt-get install opensta)")
def test_the_slowest_path_is_that_of_opensta() -> None:
    """Within 3 %: its clock has no slew, and it follows the slews of one path at a time."""
    (part,) = parts(SMALL, "pe")
    netlist = map_files(part.files, part.top, five())
    theirs = opensta.path_ps(netlist, five(), WIRES)
    assert theirs is not None and timing.path_ps(netlist, five(), WIRES) == pytest.approx(theirs, rel=0.03)
    assert theirs > 1.1 * (opensta.path_ps(netlist, five(), Wires(ff=0.0)) or 0), "wires are read"


def test_a_block_that_is_unknown_or_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="unknown block"):
        parts(SMALL, "haar")
    with pytest.raises(ConfigError, match="hardware without a block hadamard"):
        parts(SMALL, "hadamard")
    words = ["characterize", "--liberty", "five"]
    assert "--out" in refused([*words, "--block", "pe", "--out", "set.yaml"], capsys)
    assert "--slew" in refused([*words, "--slew", "-1"], capsys)


def test_every_block_of_the_engine_is_a_part_once() -> None:
    """What `control` keeps as modules are the other parts, and the array its PEs. Lifting units are those modules: as
    tops of their own they have no places, no pace and a register less behind their memories."""
    config = SMALL.with_hw(hadamard=16)
    found = {part.name: part for part in parts(config)}
    assert list(found) == ["hadamard", "lifting", "scale", "pe", "array", "rescale", "inverse", "finish", "control"]
    assert len(found["control"].kept) == 7 and found["array"].kept == ("stamp_pe",)
    assert found["pe"].count == 4
    assert {found["lifting"].top, found["inverse"].top} < {*found["control"].kept}


@pytest.mark.rtl
def test_the_lifting_behind_the_array_is_gates_in_the_engine() -> None:
    """Its gates take the module's place, and the engine's outputs are the golden model's, or it raises."""
    (part,) = parts(SMALL, "inverse")
    found = characterize(part, five(), WIRES)
    assert found.idle_pj > 0 and found.cycles > 100 and found.energy_pj["inverse.add"] > 0


def test_a_trace_drives_its_codes_into_a_pe() -> None:
    """Tokens of 8 bits one behind the other, pairs of the others, each with the weights of a channel."""
    found = traced.read(TRACE, NpuConfig())
    codes, bits = found.result.quantized.codes, found.result.quantized.bits
    channels = codes.shape[1]
    operands = found.operands(2 * channels)
    assert (operands.codes8 == codes[bits == 8][:2].ravel()).all()
    assert (codes[bits == 4][:2] == operands.codes4[:channels].T).all()
    assert (operands.weights == found.result.weights.codes[:2].ravel()).all()
    assert len(found.engine().inputs["p"]["bias"]) == 16


@pytest.mark.parametrize("block", ["pe", "control"])
def test_mean_prices_are_of_a_trace_that_is_given(block: str) -> None:
    """Its layer is no random bench, whose place made layers take."""
    config = SMALL.with_hw(max_k=256)
    assert [parts(config, block, given)[0].random for given in (None, traced.read(TRACE, config))] == [True, False]


def test_a_trace_without_a_layer_that_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match="no layer for the gates"):
        traced.read(TRACE, SMALL.with_hw(max_k=16))


def test_the_operands_of_a_pe_are_the_same_everywhere() -> None:
    first, second = (pe.drawn(seeded(5), 32) for _ in range(2))
    assert (first.codes8 == second.codes8).all() and (first.codes4 == second.codes4).all()
    assert np.abs(first.codes4).max() <= 8 and first.weights.std() > 10
