"""Whole models as workloads: their layers against the model libraries, their sums against jobs costed one by one."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost import energy, layer_cost
from sim.task import Shape
from sim.workload import file, find, jobs, report, vector
from sim.workload.find import Ask
from sim.workload.ops import Attention, Linear, Phase, Product, Vector, Workload
from sim.workload.run import Run
from sim.workload.totals import Totals, total
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.errors import StampError
from stamp_hw.layer import Layer

SET = energy.load("horowitz45")
CONFIG = NpuConfig.from_dict({"hw": {"rows": 4, "cols": 4, "lanes": 8, "max_k": 512, "max_tokens": 512}})
TEXT = [name for name in find.names() if not name.startswith(("pixart", "sana"))]
IMAGES = [name for name in find.names() if name not in TEXT]


def multiplied(workload: Workload) -> Counter[tuple[int, int]]:
    """(K, N) → how often a step multiplies by a weight of that shape, in the last phase."""
    found: Counter[tuple[int, int]] = Counter()
    for op in workload.phases[-1].ops:
        if isinstance(op, Linear):
            for _, n in op.outputs:
                found[op.k, n] += op.repeat
    return found


def layers_of(model: Any) -> Counter[tuple[int, int]]:
    """The same of a torch model: its `Linear`s, and convolutions that see no neighbours."""
    import torch

    found: Counter[tuple[int, int]] = Counter()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            found[module.in_features, module.out_features] += 1
        elif isinstance(module, torch.nn.Conv2d) and module.kernel_size == module.stride:
            out, inner, high, wide = module.weight.shape
            if module.groups == 1:
                found[inner * high * wide, out] += 1
    return found


@pytest.mark.trace
@pytest.mark.parametrize("name", TEXT)
def test_a_language_model_multiplies_by_the_weights_that_transformers_gives_it(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    data = json.loads((find.SHIPPED / f"{name}.json").read_text(encoding="utf-8"))
    given = {key: value for key, value in data.items() if key not in ("source", "model_type")}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(data["model_type"], **given))
    assert multiplied(find.workload(name, Ask())) == layers_of(model)


@pytest.mark.trace
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_model_multiplies_by_the_weights_that_diffusers_gives_it(name: str) -> None:
    import diffusers
    import torch

    data = json.loads((find.SHIPPED / f"{name}.json").read_text(encoding="utf-8"))
    given = {key: value for key, value in data.items() if key not in ("source", "_class_name")}
    with torch.device("meta"):
        model = getattr(diffusers, data["_class_name"])(**given)
    assert multiplied(find.workload(name, Ask())) == layers_of(model)


def test_llama_3_8b_by_hand() -> None:
    """Products of the prefill and of a decode step from the published sizes: 32 blocks of 4096, 32 and 8 heads of 128,
    14336 inside, 128256 tokens of vocabulary."""
    prefill, decode = find.workload("llama-3-8b", Ask(prefill=2048, decode=2)).phases
    run = Run(Workload(name="x", phases=(prefill, decode)), NpuConfig.load(find.HOME / "configs/npu32.yaml"), SET, None)
    block = 4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336
    found = {name: sums.macs for name, sums in run.of(decode, "stamp").items()}
    assert sum(found.values()) == 2 * (32 * block + 4096 * 128256) + 32 * 2 * 32 * 128 * (2049 + 2050)
    found = {name: sums.macs for name, sums in run.of(prefill, "stamp").items()}
    seen = sum(256 * 256 * part for part in range(1, 9))  # causal, in blocks of 256 queries
    assert sum(found.values()) == 2048 * 32 * block + 4096 * 128256 + 32 * 2 * 32 * 128 * seen


def test_a_decode_of_many_steps_is_the_sum_of_its_steps() -> None:
    attention = Attention(name="a", tokens=1, heads=6, kv_heads=2, head_dim=16, context=9, grow=1, causal=True,
                          repeat=3)
    step = Linear(name="l", tokens=1, k=24, outputs=(("q_proj", 10),), repeat=2)
    softmax = Vector(name="v", values=7, grow=2, passes=3)
    phase = Phase(name="decode", unit="token", produces=20, steps=20, batch=3, ops=(attention, step, softmax))
    whole = total(Run(Workload(name="w", phases=(phase,)), CONFIG, SET, 8, prefetch=False).of(phase, "stamp").values())
    parts = Totals()
    for number in range(20):
        one = replace(phase, steps=1, produces=1, ops=(
            replace(attention, context=9 + number), step, replace(softmax, values=7 + 2 * number)))
        parts.merge(total(Run(Workload(name="w", phases=(one,)), CONFIG, SET, 8, prefetch=False).of(one, "stamp")
                          .values()))
    assert whole == parts


def test_operations_add_up_to_phases_and_phases_to_the_run_in_every_count() -> None:
    workload = find.workload("smollm2", Ask(prefill=64, decode=5, batch=2))
    config = NpuConfig.load(find.HOME / "configs/language.yaml")
    document = report.document(Run(workload, config, SET, 16), ("a4", "stamp"), SET, "0")
    whole = ("jobs", "cycles", "engine_cycles", "prefetch_saved_cycles", "vector_operations", "vector_cycles",
             "array_tiles", "macs", "dram_bytes", "energy_fj")
    nested = ("cycles_by_part", "cycles_by_limit", "dram_bytes_by_operand", "energy_fj_by_component")
    for found in document["schemes"].values():
        for of, parts in ((found["total"], list(found["phases"].values())),
                          *((phase, list(phase["ops"].values())) for phase in found["phases"].values())):
            assert all(of[name] == sum(part[name] for part in parts) for name in whole)
            for name in nested:
                for key in {key for part in parts for key in part[name]}:
                    assert of[name][key] == sum(part[name].get(key, 0) for part in parts)
            assert sum(of["cycles_by_part"].values()) == sum(of["cycles_by_limit"].values()) == of["engine_cycles"]
            assert sum(of["energy_fj_by_component"].values()) == of["energy_fj"]
            assert of["engine_cycles"] + of["vector_cycles"] == of["cycles"]


def test_an_operation_costs_what_its_jobs_cost_one_by_one() -> None:
    op = Linear(name="qkv", tokens=96, k=40, outputs=(("q_proj", 24), ("k_proj", 8), ("lm_head", 5)), repeat=3)
    config = replace(CONFIG, kinds=(("lm_head", replace(CONFIG.job, weight_bits=8)),))
    phase = Phase(name="p", unit="token", produces=1, batch=2, steps=5, ops=(op,))
    for scheme in ("a8", "a4", "first_n", "stamp"):
        sums = Run(Workload(name="w", phases=(phase,)), config, SET, None, prefetch=False).of(phase, scheme)["qkv"]
        expected = 0
        for n, job in ((32, config.job), (5, config.kinds[0][1])):  # q and k share a job, the head's is another
            own = schemes.configure(scheme, replace(config, job=job, kinds=()))
            wide = own.with_job(levels=own.resolve(96).levels, n_hi=2 * own.resolve(96).n_hi)
            limit = 2 * 4 * 32
            cost = layer_cost.cost(Shape(name="", tokens=192, k=40, n=n), wide, SET, limit)
            expected += 15 * cost.cycles.total
        assert sums.cycles == expected


@pytest.mark.parametrize("scheme", ["a8", "a4", "first_n", "stamp"])
@pytest.mark.parametrize(("tokens", "grid", "job"), [
    (64, None, {}), (1, None, {}), (32, None, {"levels": 0, "n_hi": 3}), (48, (6, 8), {"levels": 1, "n_hi": "1/4"})])
def test_sequences_side_by_side_are_each_what_it_is_alone(scheme: str, tokens: int, grid: tuple[int, int] | None,
                                                         job: dict[str, Any]) -> None:
    """The joined job's integers are those of a job a sequence, scales given: the golden model decides what may be
    joined. Without levels the host sends the tokens of 8 bits of all sequences first."""
    rng = np.random.default_rng(5)
    config = schemes.configure(scheme, CONFIG.with_job(**job))
    op = Linear(name="x", tokens=tokens, k=16, outputs=(("a", 8),), grid=grid)
    (joined,) = jobs.of_linear(op, 3, scheme, CONFIG.with_job(**job))
    assert (joined.shape.tokens, joined.times) == (3 * tokens, 1)
    xs = [rng.standard_normal((tokens, 16)).astype(np.float32) for _ in range(3)]
    weight = rng.standard_normal((8, 16)).astype(np.float32)

    def integers(x: np.ndarray, grid: tuple[int, int] | None, config: NpuConfig) -> np.ndarray:
        layer = Layer(name="x", x=x, weight=weight, grid=grid, s_x=1e-4, s_y=1e-3)
        return linear.run_linear(layer, config).sent

    alone = [integers(x, grid, config) for x in xs]
    own = config.resolve(tokens, grid)
    if own.levels:
        together = integers(np.concatenate(xs), joined.shape.grid, joined.config)
        assert (np.split(together, 3) == np.stack(alone)).all()
        return
    order = np.argsort(np.arange(3 * tokens) % tokens >= own.n_hi, kind="stable")
    moved = joined.shape.grid if own.n_hi in (0, tokens) else None  # a grid without levels is a sequence
    together = integers(np.concatenate(xs)[order], moved, joined.config)
    back = np.empty_like(together)
    back[order] = together
    assert (np.split(back, 3) == np.stack(alone)).all()


@pytest.mark.parametrize(("tokens", "grid", "job", "batch", "expected"), [
    (40, None, {"levels": 4}, 4, [(40, 4)]),  # not whole tiles
    (64, None, {"levels": 3}, 4, [(64, 4)]),  # more low pass than tokens of 8 bits
    (64, None, {"outliers": (0,)}, 4, [(64, 4)]),  # an outlier stands in front of its sequence
    (192, None, {"levels": 5}, 5, [(384, 2), (192, 1)]),  # two of them fill the hardware
    (64, (8, 8), {"levels": 2, "n_hi": 4}, 2, [(128, 1)]),
    (60, (10, 6), {"levels": 2, "n_hi": 6}, 2, [(60, 2)]),
])
def test_what_cannot_stand_side_by_side_is_a_job_each(tokens: int, grid: tuple[int, int] | None, job: dict[str, Any],
                                                      batch: int, expected: list[tuple[int, int]]) -> None:
    op = Linear(name="x", tokens=tokens, k=16, outputs=(("a", 8),), grid=grid)
    found = jobs.of_linear(op, batch, "stamp", CONFIG.with_job(**job))
    assert [(one.shape.tokens, one.times) for one in found] == expected


def test_a_shared_input_is_fetched_once() -> None:
    op = Linear(name="qkv", tokens=64, k=64, outputs=(("q_proj", 64), ("k_proj", 16), ("v_proj", 16)))
    sums = []
    for shared in (True, False):
        phase = Phase(name="p", unit="token", produces=64, ops=(replace(op, shared_input=shared),))
        sums.append(Run(Workload(name="w", phases=(phase,)), CONFIG, SET, None).of(phase, "stamp")["qkv"])
    one, three = sums
    assert (one.jobs, three.jobs) == (1, 3)
    assert 3 * one.dram["activations"] == three.dram["activations"] == 3 * 64 * 64 * 2
    assert one.dram["weights"] == three.dram["weights"] and one.energy["lifting", "forward_add"] > 0
    assert 3 * one.energy["lifting", "forward_add"] == three.energy["lifting", "forward_add"]


def test_attention_beyond_the_hardware_is_cut_and_its_parts_are_added() -> None:
    op = Attention(name="a", tokens=300, heads=4, kv_heads=2, head_dim=16, context=1100, query_block=300)
    found = list(jobs.of_attention(op, 0, 1, CONFIG))
    scores = [(job.shape.tokens, job.shape.k, job.shape.n, job.times) for job in found if job.shape.k == 16]
    assert scores == [(512, 16, 1100, 2), (88, 16, 1100, 2)]
    values = [(job.shape.tokens, job.shape.k, job.times) for job in found if job.shape.n == 16]
    assert values == [(512, 512, 4), (512, 76, 2), (88, 512, 4), (88, 76, 2)]
    phase = Phase(name="p", unit="token", produces=1, ops=(op,))
    sums = Run(Workload(name="w", phases=(phase,)), CONFIG, SET, 4).of(phase, "a4")["a"]
    assert sums.vector == 300 * 4 * 1100 * vector.PASSES["softmax"] + 300 * 4 * 16 * 2 * vector.PASSES["add"]
    assert sums.macs == 2 * 300 * 4 * 1100 * 16


def test_keys_at_4_bits_take_half_the_bytes_of_packed_hardware() -> None:
    config = CONFIG.with_hw(packed_weights=True)
    phase = Phase(name="p", unit="token", produces=1, ops=(
        Product(name="x", tokens=8, k=64, n=16), Product(name="y", tokens=8, k=64, n=16, kv_bits=4)))
    sums = Run(Workload(name="w", phases=(phase,)), config, SET, None).of(phase, "stamp")
    assert sums["x"].dram["weights"] == 64 * 16 == 2 * sums["y"].dram["weights"]


@pytest.mark.parametrize("name", find.names())
def test_a_workload_that_was_written_is_read_back(name: str, tmp_path: Path) -> None:
    workload, path = find.workload(name, Ask()), tmp_path / "w.yaml"
    with path.open("w", encoding="utf-8") as stream:
        file.write(workload, stream)
    assert find.workload(str(path), Ask()) == workload
    again = io.StringIO()
    file.write(file.read(path), again)
    assert again.getvalue() == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("change", "said"), [
    ({"num_local_experts": 8}, "experts are not covered"), ({"model_type": "gpt2"}, "a model of another form"),
    ({"model_type": None}, "a model of another form"), ({"hidden_size": 0}, "hidden_size.*whole number"),
    ({"num_hidden_layers": "32"}, "num_hidden_layers"), ({"vocab_size": None}, "vocab_size.*nothing"),
    ({"num_key_value_heads": 5}, "evenly"), ({"hidden_size": True}, "hidden_size")])
def test_a_model_of_another_form_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    data = json.loads((find.SHIPPED / "llama-3-8b.json").read_text(encoding="utf-8")) | change
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(StampError, match=said):
        find.workload(str(tmp_path), Ask())


def test_a_model_of_a_folder_is_called_by_the_folder(tmp_path: Path) -> None:
    for shipped, inner in (("llama-3-8b", "config.json"), ("pixart-sigma-512", "transformer/config.json")):
        place = tmp_path / f"my-{shipped}" / inner
        place.parent.mkdir(parents=True)
        place.write_bytes((find.SHIPPED / f"{shipped}.json").read_bytes())
        found = find.workload(str(tmp_path / f"my-{shipped}"), Ask())
        assert found == replace(find.workload(shipped, Ask()), name=f"my-{shipped}")


def test_a_size_that_an_image_model_cannot_have_is_refused() -> None:
    with pytest.raises(StampError, match="multiple of 16"):
        find.workload("pixart-sigma-512", Ask(size=520))
    small = find.workload("pixart-sigma-1024", Ask(size=256, guidance=False, steps=3))
    patch = small.phases[0].ops[0]
    assert isinstance(patch, Linear) and patch.grid == (16, 16)
    assert (small.phases[0].batch, small.phases[0].steps) == (1, 3)
