"""Energy sets (sim/cost/energy.py, sim/cost/energy_sets/): what each constant prices, and strict reading."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sim import banks, on_chip
from sim.cost import activity, energy, layer_cost
from sim.cost.energy import COMPONENTS, CONSTANTS, FINER, EnergySet
from sim.division import Division
from sim.engine import events as engine_events
from sim.on_chip import Beats
from sim.studies import accuracy, report
from sim.task import Shape, Task
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from tests.support.rotated_cases import perhaps_in_blocks, perhaps_rotated, registers_of, task_of

SETS = sorted((Path(__file__).resolve().parents[2] / "sim" / "cost" / "energy_sets").glob("*.yaml"))
ACCURACY = accuracy.Accuracy(sqnr_db=1.0, output_sqnr_db=1.0, s_x=1.0, s_y=1.0, x_saturated=0, z_saturated=0,
                             y_saturated=0, headroom=5000.0, calibration="self", warnings=())


@pytest.fixture(scope="module")
def priced() -> tuple[EnergySet, Shape, NpuConfig]:
    return energy.load("horowitz45"), Shape(name="layer", tokens=300, k=200, n=72), NpuConfig()


@pytest.mark.parametrize("constant", CONSTANTS)
def test_doubling_a_constant_doubles_the_events_it_prices_and_nothing_else(
        constant: str, priced: tuple[EnergySet, Shape, NpuConfig]) -> None:
    chosen, shape, config = priced
    before = layer_cost.cost(shape, config, chosen).events
    after = layer_cost.cost(shape, config, chosen.scaled(constant, 2.0)).events
    component = constant.split(".")[0]
    task = Task.of(shape, config)
    counted = activity.events(task, config.hw, Division.of(super_tile.split(task.job, config.hw, 512)))
    touched = {(name, event.name) for name, events in counted.items() for event in events if event.constant == constant}
    assert touched and {name for name, _ in touched} == {component}
    for name, events in before.items():
        for event, cost in events.items():
            assert cost.energy_pj > 0 or not cost.count
            assert after[name][event].energy_pj == cost.energy_pj * (2 if (name, event) in touched else 1)
            assert after[name][event].count == cost.count


@pytest.mark.parametrize("component", COMPONENTS)
def test_doubling_all_constants_of_a_component_doubles_exactly_that_component(
        component: str, priced: tuple[EnergySet, Shape, NpuConfig]) -> None:
    chosen, shape, config = priced
    doubled = chosen
    for name in CONSTANTS:
        if name.split(".")[0] == component:
            doubled = doubled.scaled(name, 2.0)
    costs = [layer_cost.cost(shape, config, each) for each in (chosen, doubled)]
    before, after = (report.totals([report.Outcome(kind="linear", cost=cost, accuracy=ACCURACY)])["energy_by_component"]
                     for cost in costs)
    for name in COMPONENTS:
        factor = 2 if name == component else 1
        assert after[name]["energy_pj"] == pytest.approx(before[name]["energy_pj"] * factor, rel=1e-8)


def test_horowitz_constants_are_the_published_ones_and_curves_run_through_them() -> None:
    constants = energy.load("horowitz45").constants
    for name, points in (("lifting.add", {8: 0.03, 32: 0.1, 17: 0.03 + 0.07 * 9 / 24, 28: 0.03 + 0.07 * 20 / 24}),
                         ("scale.multiply", {64: 0.2, 1024: 3.1, 306: 0.2 + 2.9 * 242 / 960}),
                         ("memory.access", {8192: 10, 32768: 20, 1 << 20: 100, 2048: 5, 512: 2.5, 16384: 15,
                                            2 << 20: 116}),
                         ("mac.multiply", {0: 0.2 * 17 * 8 / 64}), ("mac.add", {0: 0.1}),
                         ("dram.access", {0: (1300 + 2600) / 2})):
        for place, value in points.items():
            assert constants[name].at(place) == pytest.approx(value, rel=1e-12), (name, place)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("node: 45 nm, 0.9 V\n", "", "own.yaml.node: missing key"),
    ("name: horowitz45", "name: horowitz45\ncolour: red", "own.yaml.colour: unknown key"),
    ("  mac.add:", "  mac.addd:", "constants.mac.addd: unknown key"),
    ("energy_pj: 0.425", "energy_pj: fast", "constants.mac.multiply.energy_pj"),
    ("energy_pj: 0.425", "energy_pj: -1", "constants.mac.multiply.energy_pj"),
    ("energy_pj: 0.425", "energy_pj: .nan", "constants.mac.multiply.energy_pj"),
    ("energy_pj: {8: 0.03, 32: 0.1}", "energy_pj: {8: 0.03}", "constants.lifting.add.energy_pj"),
    ("axis: bits", "axis: inches", "constants.lifting.add.axis"),
    ("source: horowitz2014", "source: hearsay", "constants.lifting.add.source"),
    ("energy_pj: 0.425", "energy_pj: 1.1e12", "expected a positive number up to 1e+12"),
    ("energy_pj: 0.425", "energy_pj: 1" + 39 * "0", "constants.mac.multiply.energy_pj"),
    ("energy_pj: 0.425", "energy_pj: 1" + 400 * "0", "constants.mac.multiply.energy_pj: number with too many digits"),
    ("energy_pj: 0.425", "energy_pj: 1\n    energy_pj: 2", "constants.mac.multiply.energy_pj: key is given twice"),
    ("energy_pj: {8: 0.03, 32: 0.1}", "energy_pj: {8: 0.03, 8.0: 0.1}", "constants.lifting.add.energy_pj.8.0: key is"),
    ("per_bits: 64", "per_bits: 1" + 30 * "0", "constants.memory.access.per_bits"),
    ("per_bits: 64", "per_bits: 0", "constants.memory.access.per_bits"),
    ("constants:", "constants: [1]\nrest:", "unknown key"),
    ("name: horowitz45", "name: [horowitz45", "not YAML"),
])
def test_a_malformed_energy_set_is_refused_with_file_and_key(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = SETS[0].read_text(encoding="utf-8")
    assert old in text
    own = tmp_path / "own.yaml"
    own.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        energy.load_file(own)
    assert said in str(caught.value) and "own.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_every_shipped_set_loads_and_every_constant_is_cited() -> None:
    assert SETS
    for path in SETS:
        found = energy.load(path.stem)
        assert found.name == path.stem and set(CONSTANTS) <= set(found.constants) <= {*CONSTANTS, *FINER}
        assert all(constant.text["source"] in found.sources for constant in found.constants.values())


def test_counts_are_those_of_the_event_ports_that_the_regression_compares(rng: np.random.Generator) -> None:
    rotated = 0
    for _ in range(60):
        hw = perhaps_in_blocks(rng, perhaps_rotated(rng, HwConfig(
            rows=3, cols=6, lanes=4, rescale_lanes=int(rng.choice([1, 2, 3])), act_slots=200)))
        grid = (int(rng.integers(1, 15)), int(rng.integers(1, 15))) if rng.random() < 0.5 else None
        tokens = grid[0] * grid[1] if grid else int(rng.integers(1, 200))
        job = ResolvedJob(tokens=tokens, grid=grid, levels=int(rng.integers(0, 4)),
                          n_hi=int(rng.integers(0, tokens + 1)), n_sink=0 if grid else int(rng.integers(0, 4)))
        task = task_of(rng, hw, job, int(rng.integers(1, 60)), int(rng.integers(1, 40)))
        limit = super_tile.token_limit(job, hw)
        division = Division.of(super_tile.split(job, hw, limit))
        found = {(component, event.name): event.count
                 for component, events in activity.events(task, hw, division).items() for event in events}
        params = EngineParams.of(hw)
        port = engine_events.events(params, [registers_of(rng, hw, task)], {"rescale": 0, "finish": 0})
        lanes, out = hw.lanes, hw.drain_lanes
        assert found["lifting", "forward_add"] == 2 * lanes * (
            port["haar_butterflies"] + port["haar_cross_butterflies"])
        assert found["lifting", "inverse_add"] == 2 * out * (
            port["inverse_butterflies"] + port["inverse_cross_butterflies"])
        assert found["scale", "compare"] == 2 * lanes * port["scale_compares"]
        assert found["scale", "divide_step"] == port["scale_divide_steps"]
        assert found["scale", "multiply"] == (lanes + bool(hw.block)) * port["scale_multiplies"]
        assert found.get(("rescale", "multiply_block"), 0) == hw.cols * port.get("combine_sums", 0)
        assert found["mac", "multiply_8bit_row"] == port["mac_multiplies8"]
        assert found["mac", "multiply_4bit_row"] == port["mac_multiplies4"]
        assert 3 * found["rescale", "multiply_mant"] == port["rescale_multiplies"]
        assert found["rescale", "round"] == port["rescale_outputs"]
        assert found["rescale", "bias"] == port["finish_outputs"]
        levels = 0 if params.rotation is None else params.rotation.levels
        assert found.get(("lifting", "hadamard_add"), 0) == lanes * levels * port.get("hadamard_beats", 0)
        assert found.get(("lifting", "hadamard_round"), 0) == lanes * port.get("hadamard_beats", 0)
        rotated += levels > 0 and task.k_in is not None
        moved = on_chip.beats(task, hw, division)
        for unit, prefix in (("haar", "lifting"), ("inverse", "inverse")):
            lines = [moved[f"{prefix}_{line}"] for line in ("wait", "even", "odd", "cross")]
            assert (sum(line.read for line in lines), sum(line.written for line in lines)) == (
                port[f"{unit}_line_reads"], port[f"{unit}_line_writes"])
        for name, ring in moved.items():
            if name.startswith("hadamard_"):
                assert ring.read == ring.written == port["hadamard_beats"]
        assert moved["ring_buffer"] == Beats(read=port["scale_buffer_reads"], written=port["scale_buffer_writes"])
        assert moved["weight_buffer"].read == port["mac_steps"]
        assert moved["output_buffer"].written == port["rescale_outputs"] // out
        assert moved["output_buffer"].read == moved["bias_buffer"].read == port["finish_outputs"] // out
        if hw.block:
            assert moved["span_buffer"].read == moved["combine_banks"].written == port["combine_sums"]
        else:
            assert moved["scale_buffer"].read == moved["factor_buffer"].read == port["mac_drained"]
        assert set(moved) >= {one.name for one in banks.banks(hw)}
    assert rotated > 3


SMALL_HW = HwConfig(rows=2, cols=2, lanes=2, axes=1, max_levels=1, max_k=64, max_tokens=64, act_slots=4,
                    rescale_lanes=1)
SMALL_TASK = Task(job=ResolvedJob(tokens=4, grid=None, levels=1, n_hi=0, n_sink=0), k=64, n=4)
#: Memory → words and bits of a bank, accesses, and their energy in fJ: accesses · 10 pJ · √(bank / 8 KB) · bits / 64.
SMALL_MEMORIES = {
    # forward: a of both pairs into a line and out, both s as well: 32 beats; inverse: both s, both b, 4 beats
    "lifting_wait": (32, 32, 2 * 2 * 32, 80_000),
    "lifting_even": (32, 32, 2 * 2 * 32, 80_000),
    "lifting_odd": (2, 32, 0, 0),
    "inverse_wait": (2, 28, 2 * 2 * 4, 2_046),
    "inverse_even": (2, 28, 2 * 2 * 4, 2_046),
    "inverse_odd": (2, 28, 0, 0),
    "ring_buffer": (64, 34, 2 * 4 * 32, 247_815),
    # two row slots are opened, four tokens come; two column tiles read both row slots
    "activation_low": (128, 9, 2 * 32 + 2 * 2 * 32, 35_797),  # 2 halves · 2 array tiles · 32 beats; 2 nibbles, the mode
    "activation_high": (128, 8, 4 * 32 + 2 * 2 * 32, 40_000),
    "weight_buffer": (128, 16, 2 * 64 + 2 * 64, 113_137),
    # 2 · 2 token slots in 2 beats of both column tiles; 4 sets of 2 beats
    "factor_buffer": (8, 15 + 2 * 22, 4 + 16, 15_647),
    "bias_buffer": (8, 32, 4 + 16, 6_250),
    "scale_buffer": (8, 2 * 17 + 1 + 4 + 4, 4 + 16, 9_735),  # second, row, tile; lo, span, mode, exponent, place
    "output_buffer": (16, 24, 2 * 16, 9_186),
}


def test_events_and_bytes_of_a_small_layer_are_those_counted_by_hand() -> None:
    """Four tokens, 64 inputs, 4 outputs, 2 × 2 PEs, 2 lanes: 32 beats a token, one array tile, two column tiles."""
    hw, task = SMALL_HW, SMALL_TASK
    parts = super_tile.split(task.job, hw, 4)
    found = {component: {event.name: event.count for event in events}
             for component, events in activity.events(task, hw, Division.of(parts)).items()}
    outputs = 4 * 4
    assert found == {
        # two pairs, two additions a channel: of 64 inputs, of 4 outputs
        "lifting": {"forward_add": 2 * 2 * 64, "inverse_add": 2 * 2 * 4},
        "scale": {"compare": 2 * 4 * 64, "subtract": 4 * 64, "round": 4 * 64, "divide_step": 4 * 17,
                  "multiply": 4 * 64},
        "mac": {"multiply_8bit_row": 0, "multiply_4bit_row": 64 * 4 * 2, "accumulate": 2 * 64 * 4 * 2},
        "rescale": {"multiply_span": outputs, "multiply_wsum": outputs, "multiply_mant": outputs, "add_mid": outputs,
                    "add_total": 3 * outputs, "round": outputs, "bias": outputs},
        "memory": {name: accesses for name, (_, _, accesses, _) in SMALL_MEMORIES.items()},
        "dram": {"weights": 4 * 64, "activations": 4 * 64 * 2, "scales": 4 * 16, "outputs": 4 * 4 * 2},
    }


def test_events_and_bytes_of_blocks_are_those_counted_by_hand() -> None:
    """The same layer in blocks of 32: two of them in each of two passes, four token slots, two columns."""
    hw = HwConfig(rows=2, cols=2, lanes=2, axes=1, max_levels=1, max_k=64, max_tokens=64, act_slots=4, rescale_lanes=1,
                  block=32)
    job = ResolvedJob(tokens=4, grid=None, levels=1, n_hi=0, n_sink=0)
    plain, blocks = (Task(job=job, k=64, n=4, group=group) for group in (None, 32))
    division = Division.of(super_tile.split(job, hw, 4))
    found, whole = ({component: {event.name: event.count for event in events}
                     for component, events in activity.events(task, hw, division).items()} for task in (blocks, plain))
    assert found["rescale"]["multiply_block"] == 2 * 2 * 4 * 2 and found["rescale"]["add_block"] == 2 * 32
    assert found["scale"] == {"compare": 2 * 4 * 64, "subtract": 4 * 96, "round": 4 * 96, "divide_step": 4 * 2 * 17,
                              "multiply": 4 * 96}, "a third lane for lo beside the two"
    assert whole["scale"]["divide_step"] == 4 * 17 and whole["rescale"] == found["rescale"]
    # A scale a block: written for each of 4 · 2, read for each of 2 · 2 · 4 sums.
    assert found["memory"]["span_buffer"] == 4 * 2 + 16 and whole["memory"]["span_buffer"] == 4 + 16
    # T of two columns: 16 writes, 8 reads of a second block, 8 token slots in two beats of the rescale unit.
    assert found["memory"]["combine_banks"] == 2 * (16 + 8 + 8 * 2)


def test_the_energy_of_a_small_layers_memories_is_that_of_the_banks_computed_by_hand() -> None:
    found = {one.name: one for one in banks.banks(SMALL_HW)}
    assert {name: (one.words, one.bits) for name, one in found.items()} == {
        name: memory[:2] for name, memory in SMALL_MEMORIES.items()}
    assert {name: one.count for name, one in found.items() if one.count > 1} == {
        "activation_low": 2, "activation_high": 2, "scale_buffer": 2, "output_buffer": 2}
    division = Division.of(super_tile.split(SMALL_TASK.job, SMALL_HW, 4))
    events = activity.events(SMALL_TASK, SMALL_HW, division)["memory"]
    assert {event.name: round(1000 * energy.load("horowitz45").price(event)) for event in events} == {
        name: fj for name, (*_, fj) in SMALL_MEMORIES.items()}


@pytest.mark.parametrize(("key", "value", "larger"), [
    ("act_slots", 1200, {"activation_low", "activation_high", "scale_buffer", "output_buffer", "span_buffer"}),
    ("max_k", 8192, {"activation_low", "activation_high", "weight_buffer", "ring_buffer", "lifting_wait",
                     "lifting_even", "lifting_odd", "lifting_cross", "span_buffer",
                     "factor_buffer", "combine_banks"})])  # whose words are wider
def test_a_buffer_that_is_larger_than_needed_costs_what_its_banks_cost(
        key: str, value: int, larger: set[str], priced: tuple[EnergySet, Shape, NpuConfig]) -> None:
    """The same accesses of the same words, each of a larger bank."""
    chosen, shape, _ = priced
    small = NpuConfig(hw=HwConfig(block=64))
    large = small.with_hw(**{key: value})
    before, after = (layer_cost.cost(shape, each, chosen, 512).events["memory"] for each in (small, large))
    sizes = [{one.name: one for one in banks.banks(each.hw)} for each in (small, large)]
    assert {name for name in before if sizes[1][name].bank_bytes > sizes[0][name].bank_bytes} == larger
    for name, cost in before.items():
        one, other = (size[name] for size in sizes)
        per_bit = [chosen.constants["memory.access"].at(each.bank_bytes) * each.bits for each in (one, other)]
        assert after[name].count == cost.count
        assert after[name].energy_pj == pytest.approx(cost.energy_pj * per_bit[1] / per_bit[0], rel=1e-12)
        assert (after[name].energy_pj > cost.energy_pj) == (name in larger and cost.count > 0)


def test_an_access_of_a_larger_bank_never_costs_less() -> None:
    curve = energy.load("horowitz45").constants["memory.access"]
    prices = [curve.at(2.0**place) for place in np.arange(0, 30, 0.1)]
    assert all(low < high for low, high in pairwise(prices))
    first = curve.points[0][0]
    assert curve.at(first * (1 - 1e-9)) == pytest.approx(curve.at(first), rel=1e-8), "no step at the first point"


def test_what_is_priced_is_every_memory_and_nothing_else(rng: np.random.Generator) -> None:
    for _ in range(20):
        hw = perhaps_in_blocks(rng, perhaps_rotated(rng, HwConfig(rows=3, cols=6, lanes=4, act_slots=200)))
        job = ResolvedJob(tokens=50, grid=None, levels=2, n_hi=3, n_sink=1)
        events = activity.events(task_of(rng, hw, job, 40, 20), hw, Division.of(super_tile.split(job, hw, 50)))
        assert [event.name for event in events["memory"]] == [one.name for one in banks.banks(hw)]


def test_a_place_on_a_curve_is_written_with_every_digit(priced: tuple[EnergySet, Shape, NpuConfig]) -> None:
    chosen, *_ = priced
    memory_energy = chosen.describe()["constants"]["memory.access"]["energy_pj"]
    assert memory_energy == {"8192": 10.0, "32768": 20.0, "1048576": 100.0}
    for constant in chosen.constants.values():
        points = tuple((place, 1.0) for place in (0.1, 123456789.0, 999999999999.0, energy.MAX_FIGURE))
        curve = replace(constant, axis="bits", points=points)
        own = replace(chosen, constants=chosen.constants | {constant.name: curve})
        written = own.describe()["constants"][constant.name]["energy_pj"]
        assert list(written) == ["0.1", "123456789", "999999999999", "1000000000000"]
