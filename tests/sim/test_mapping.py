"""The search for a layer's super-tiles (sim/mapping): what trying every size that fits would find."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from sim import dram
from sim.cost import energy, layer_cost
from sim.cost.layer_cost import Cost
from sim.division import Division
from sim.mapping import bounds, port_bounds
from sim.mapping.candidates import candidates
from sim.mapping.objective import OBJECTIVES, Objective
from sim.mapping.precision import Precision, precision
from sim.mapping.search import Mapping, search
from sim.mapping.search import cost as cost_of
from sim.port import Plan
from sim.task import Shape, Task
from sim.workload import find
from stamp_hw import schemes
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import DRAM_BYTES_PER_S
from stamp_hw.memory_config import MemoryConfig
from tb.engine import draws
from tb.engine.external import behind_a_port
from tests.support.divisions import fits, tiles_of
from tests.support.rotated_cases import perhaps_in_blocks, perhaps_rotated

SET = energy.load("horowitz45")
CASES = 200
Case = tuple[Shape, NpuConfig]


def draw_hw(rng: np.random.Generator) -> HwConfig:
    cols = int(rng.choice([1, 2, 6, 8]))
    divisors = [lanes for lanes in range(1, cols + 1) if cols % lanes == 0]
    hw = perhaps_in_blocks(rng, perhaps_rotated(rng, HwConfig(
        rows=int(rng.choice([1, 2, 3, 4, 8])), cols=cols, lanes=int(rng.choice([1, 4, 7, 16])), max_levels=6, max_k=80,
        max_tokens=60, act_slots=int(rng.choice([3, 9, 12, 20, 33, 40])), rescale_lanes=int(rng.choice(divisors)),
        packed_weights=bool(rng.integers(2)), dram_bytes_per_s=float(rng.choice([5e7, 1e9, 4e9, 1e12])))))
    return hw if rng.integers(3) else behind_a_port(rng, replace(hw, dram_bytes_per_s=DRAM_BYTES_PER_S))


def draw_case(rng: np.random.Generator) -> Case:
    """A layer of which at least one size of super-tile fits."""
    while True:
        hw = draw_hw(rng)
        drawn = draws.shape_of(rng, EngineParams.of(hw))
        job = draws.job_of(rng, EngineParams.of(hw), drawn, "self")
        shape = Shape(name="x", tokens=drawn.tokens, k=drawn.k, n=drawn.n, grid=drawn.grid, n_sink=drawn.sinks)
        config = NpuConfig(hw=hw, job=job)
        try:
            super_tile.tile_size(Task.of(shape, config).job, hw, 1)
        except ConfigError:
            continue
        return shape, config


def every_size(case: Case) -> list[Size]:
    """All sizes that fit, tried one by one."""
    shape, config = case
    job = Task.of(shape, config).job
    rows, columns, _ = tiles_of(job)
    side = 1 << job.levels
    high = side if job.grid else 1
    tried = [(1, across) for across in range(1, columns)] + [(down, columns) for down in range(1, rows + 1)]
    return [(across * side, down * high) for down, across in tried
            if fits(job, config.hw, job.tokens, down, across)]


def energy_fj(cost: Cost) -> int:
    return sum(round(1000 * event.energy_pj) for events in cost.events.values() for event in events.values())


def ranks(cost: Cost) -> dict[str, tuple[int, int, int]]:
    """What is compared, one after the other, by objective."""
    cycles, spent, tokens = cost.cycles.total, energy_fj(cost), cost.size[0] * cost.size[1]
    return {"cycles": (cycles, spent, tokens), "energy": (spent, cycles, tokens),
            "edp": (spent * cycles, cycles, tokens)}


def vars_of(plan: Plan) -> dict[str, object]:
    return {item.name: getattr(plan, item.name) for item in fields(plan)}


def test_what_is_found_is_the_best_of_all_sizes_that_fit_and_no_bound_is_beyond_its_cost(rng: np.random.Generator
                                                                                         ) -> None:
    seen: Counter[str] = Counter()
    for _ in range(CASES):
        case = draw_case(rng)
        (shape, config), sizes = case, every_size(case)
        task = Task.of(shape, config)
        found = candidates(task.job, config.hw)
        assert [found.size(index) for index in range(len(found))] == sizes, case
        costs = [layer_cost.cost(shape, config, SET, size) for size in sizes]
        least = bounds.least_cycles(task, config.hw, found), bounds.least_energy(task, config.hw, found, SET)
        for index, (size, cost) in enumerate(zip(sizes, costs, strict=True)):
            assert cost.size == size and found.division(index) == Division.of(
                super_tile.divide(task.job, *size, config.hw.rows)), case
            assert least[0][index] <= cost.cycles.total and least[1][index] <= energy_fj(cost), (case, size)
            if config.hw.memory is not None:
                parts = super_tile.divide(task.job, *size, config.hw.rows)
                assert vars_of(port_bounds.plan_of(task, config.hw, found, index)) == vars_of(
                    Plan.of(task, config.hw, parts)), (case, size)
                closer = port_bounds.least_cycles(task, config.hw, found, index)
                assert closer <= cost.cycles.total, (case, size)
                seen["closer"] += closer > least[0][index]
        for objective in OBJECTIVES:
            best = min(costs, key=lambda cost, by=objective: ranks(cost)[by])  # type: ignore[misc]
            mapping = search(task, config.hw, SET, objective)
            assert mapping == Mapping(size=best.size, cycles=best.cycles.total, energy_fj=energy_fj(best),
                                      legal=len(sizes), costed=mapping.costed), (case, objective)
            assert cost_of(shape, config, SET, 1, objective) == best
            assert 1 <= mapping.costed <= len(sizes)
            seen["costed"] += mapping.costed
            seen[f"{objective} is not the largest"] += best.size != sizes[-1]
        seen.update({"sizes": 3 * len(sizes), "2-D": task.job.grid is not None, "sinks": task.job.n_sink > 0,
                     "blocks": task.group is not None, "rotated": task.k_in is not None, "packed": task.weights.packed,
                     "slow": not dram.Memory.of(config.hw).w.full, "lifted": task.job.levels > 0,
                     "one port": config.hw.memory is not None,
                     "parts of a tile row": task.job.grid is not None and any(size[1] == sizes[0][1]
                                                                              for size in sizes[1:])})
    few = {name: count for name, count in seen.items() if count < CASES // 40}
    assert not few and seen["costed"] < seen["sizes"] // 2, seen


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["a8", "a4", "first_n", "stamp"])
@pytest.mark.parametrize(("config", "shape"), [
    ("npu32", Shape(name="", tokens=700, k=1000, n=600)), ("default", Shape(name="", tokens=500, k=64, n=8)),
    ("image", Shape(name="", tokens=31 * 37, k=200, n=100, grid=(31, 37))),
    ("language", Shape(name="", tokens=600, k=576, n=192, n_sink=3))])
def test_layers_of_shipped_hardware_are_mapped_as_trying_every_size_would(config: str, shape: Shape, scheme: str
                                                                          ) -> None:
    own = schemes.configure(scheme, NpuConfig.load(find.HOME / f"configs/{config}.yaml"))
    found = candidates(Task.of(shape, own).job, own.hw)
    costs = [layer_cost.cost(shape, own, SET, found.size(index)) for index in range(len(found))]
    for objective in OBJECTIVES:
        best = min(costs, key=lambda cost, by=objective: ranks(cost)[by])  # type: ignore[misc]
        assert cost_of(shape, own, SET, 1, objective) == best


def test_the_8_bit_tokens_that_tiles_have_room_for_are_what_counting_them_all_finds(rng: np.random.Generator) -> None:
    seen: Counter[str] = Counter()
    for _ in range(100):
        case = draw_case(rng)
        hw, job = case[1].hw, Task.of(*case).job
        sizes = every_size(case)
        size = sizes[int(rng.integers(len(sizes)))]
        tiles, fitting = [], []
        for n_hi in range(job.tokens + 1):
            parts = super_tile.divide(replace(job, n_hi=n_hi), *size, hw.rows)
            tiles.append(sum(part.array_tiles for part in parts))
            fitting.append(all(len(part.rows) <= hw.act_slots for part in parts))
        now = tiles[job.n_hi]
        fewer = max((n_hi for n_hi, count in enumerate(tiles) if count < now), default=None)
        as_many = max(n_hi for n_hi, count in enumerate(tiles) if count <= now and fitting[n_hi])
        assert precision(job, hw, size) == Precision(
            n_hi=job.n_hi, array_tiles=now, fewer=fewer, fewer_tiles=None if fewer is None else tiles[fewer],
            as_many=as_many), (case, size)
        seen.update({"fewer": fewer is not None, "more": as_many > job.n_hi, "none": fewer is None})
    assert min(seen.values()) > 5, seen


def test_a_layer_cut_into_two_jobs_by_its_outputs_never_costs_less(rng: np.random.Generator) -> None:
    """What the array keeps is the activations, which every further job takes, lifts and quantizes again; weights come
    once a super-tile, whoever asks for them."""
    cut = 0
    while cut < 40:
        shape, config = draw_case(rng)
        first = int(rng.integers(1, shape.n)) if shape.n > 1 else 0
        if first:
            cut += 1
            for objective in OBJECTIVES[:2]:
                whole, *parts = (cost_of(replace(shape, n=n), config, SET, 1, objective)
                                 for n in (shape.n, first, shape.n - first))
                assert ranks(whole)[objective][0] < sum(ranks(part)[objective][0] for part in parts), (
                    shape, config, first, objective)


LLAMA = NpuConfig.load(find.HOME / "configs/npu32.yaml")


def cycles_of(scheme: str, config: NpuConfig, objective: Objective | None, tokens: int = 1024) -> int:
    shape = Shape(name="x", tokens=tokens, k=1024, n=1024)
    limit = super_tile.token_limit(Task.of(shape, config).job, config.hw)
    return cost_of(shape, schemes.configure(scheme, config), SET, limit, objective).cycles.total


def test_a_buffer_that_is_a_little_larger_is_never_slower_where_super_tiles_are_searched() -> None:
    """A column of 72 row slots is no whole number of tiles of 32 rows: the largest super-tile of it, 69 tokens of 8
    bits, takes three of them where 64 take two."""
    small, large = LLAMA.with_hw(act_slots=64), LLAMA.with_hw(act_slots=72)
    assert cycles_of("a8", large, None) > 1.37 * cycles_of("a8", small, None)
    assert cycles_of("a8", large, "cycles") == cycles_of("a8", small, "cycles") == cycles_of("a8", small, None)
    for scheme in ("a4", "first_n", "stamp"):
        assert cycles_of(scheme, large, "cycles") <= cycles_of(scheme, small, "cycles"), scheme


@pytest.mark.parametrize(("shape", "scheme"), [
    (Shape(name="", tokens=1024, k=1024, n=128, transform=False), "a8"),
    (Shape(name="", tokens=2048, k=4096, n=6144), "a4"), (Shape(name="", tokens=2048, k=4096, n=4096), "stamp")])
def test_a_memory_behind_one_port_leaves_few_sizes_to_cost(shape: Shape, scheme: str) -> None:
    """Of 1024 sizes of the first one, P · V of a prompt, 815 were costed where the bound was that of a memory which
    never waits."""
    behind = LLAMA.with_hw(memory=MemoryConfig.parse("LPDDR5"), dram_bytes_per_s=DRAM_BYTES_PER_S)
    config = schemes.configure(scheme, behind)
    for objective in OBJECTIVES:
        found = search(Task.of(shape, config), config.hw, SET, objective)
        assert found.costed <= 4 < found.legal, (objective, found)


def test_a_search_makes_use_of_buffers_beyond_the_limit_of_tokens() -> None:
    shape, wide = Shape(name="x", tokens=4096, k=1024, n=1024), LLAMA.with_hw(act_slots=2112)
    limit = super_tile.token_limit(Task.of(shape, LLAMA).job, LLAMA.hw)
    before, kept = (cost_of(shape, config, SET, limit, None) for config in (LLAMA, wide))
    assert kept.dram == before.dram and energy_fj(kept) > energy_fj(before)
    found = cost_of(shape, wide, SET, limit, "energy")
    assert found.cycles.super_tiles == 1 and found.dram.weights < kept.dram.weights
    assert energy_fj(found) < energy_fj(before)
