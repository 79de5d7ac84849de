"""`stamp-hw eval`: the engine inside running models, held to the golden model layer by layer, and its figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.layer import Layer
from tests.support.eval_cases import LLAMA, evaluated, llama, refused
from tests.support.image_models import FAMILIES, GRID, SIZE

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]


def of_pipeline(folder: Path, family: str, *more: str) -> list[str]:
    (folder.parent / "prompts.txt").write_text("a red boat\nthe old town\n", "utf-8")
    size = () if "--size" in more else ("--size", "{}x{}".format(*SIZE[family]))
    return ["--model", str(folder), "--prompts", str(folder.parent / "prompts.txt"), *size, "--inference-steps", "3",
            *more]


def test_schemes_stand_in_order_and_stamp_is_above_its_baselines(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                                 ) -> None:
    rows = evaluated(tmp_path, *llama())
    assert list(rows) == ["float", "weights", "a8", "a4", "first_n", "stamp"]
    assert rows["float"]["kl"] == rows["float"]["loss_difference"] == 0
    kl = {name: row["kl"] for name, row in rows.items()}
    assert 0 < kl["weights"] < kl["a8"] * 1.05 < kl["stamp"] < kl["first_n"] < kl["a4"]
    assert rows["stamp"]["average_bits"] == rows["first_n"]["average_bits"] == 4.125 + 8 / 512
    for name in ("a8", "a4", "first_n", "stamp"):
        layers = rows[name]["layers"]
        assert len(layers) == 43, "7 layers in each of 6 blocks, and the output layer"
        assert rows[name]["worst_sqnr_db"] == min(layer["sqnr_db"] for layer in layers.values())
        assert layers[rows[name]["worst_layer"]]["sqnr_db"] == rows[name]["worst_sqnr_db"]
        assert rows[name]["kl_error"] > 0 and math.isfinite(rows[name]["loss_difference_error"])
    printed = capsys.readouterr().out
    assert "1,533 predicted tokens" in printed and "Prefill" in printed and "Digits: " in printed


@pytest.mark.parametrize("name", ["plain", "rotated"])
def test_a_layer_of_the_running_model_computes_what_the_golden_model_does(name: str) -> None:
    """Layers of every width, in the model, on what the integer layers in front of them have put out; then the float
    model is what it was."""
    from models.evaluate.integer_model import IntegerModel, ranges_of
    from models.load.checkpoint import load, sequences
    from models.load.kinds import survey

    parts = {"hadamard": 16, "block": 32} if name == "rotated" else {}
    checkpoint = load(str(LLAMA), "float32")
    layers = survey(checkpoint.model, "causal").layers
    row = torch.from_numpy(sequences(checkpoint, LLAMA / "heldout.txt", 1, 200))
    before = checkpoint.model(input_ids=row).logits
    ranges = ranges_of(layers, lambda: checkpoint.model(input_ids=row[:, :64]), {})
    base = NpuConfig().with_hw(lanes=8, **parts).with_job(weight_bits=8, group=parts.get("block"))
    config = base.with_job(levels=3)
    integer = IntegerModel(checkpoint.model, layers, base, ranges=ranges)
    seen: dict[str, tuple[Any, Any]] = {}
    with integer.integer(config), torch.inference_mode():
        for found in layers:
            checkpoint.model.get_submodule(found.name).register_forward_hook(
                lambda _, args, y, name=found.name: seen.update({name: (args[0][0], y[0])}))
        checkpoint.model(input_ids=row)
    assert torch.equal(checkpoint.model(input_ids=row).logits, before)
    assert set(seen) == {found.name for found in layers}
    saturated = 0
    for found in layers:
        x, y = seen[found.name]
        s_x, s_y = ranges[found.name].x / 32767, ranges[found.name].y / 32767
        layer = Layer(found.name, x.numpy(), found.weight.numpy(), s_x=s_x, s_y=s_y)
        golden = linear.run_linear(layer, config)
        assert golden.calibration == "static"
        assert np.array_equal((golden.y.astype(np.float32) * np.float32(s_y)), y.numpy()), found.name
        saturated += golden.x_saturated + golden.y_saturated
    assert saturated, "scales of 64 tokens must clip some of 200"
    assert sum(watch.x_saturated + watch.y_saturated for watch in integer.watched().values()) == saturated


def test_calibration_gives_static_scales_that_clip_a_little(tmp_path: Path) -> None:
    rows = evaluated(tmp_path, *llama("--schemes", "a8", "--calibration", str(LLAMA / "calibration.txt"), windows=2))
    own = evaluated(tmp_path, *llama("--schemes", "a8", windows=2))
    assert own["a8"]["x_saturated"] == 0 < rows["a8"]["x_saturated"] < 1000
    assert abs(rows["a8"]["kl"] / own["a8"]["kl"] - 1) < 0.05


def test_a_rotation_costs_nothing_at_8_bits_and_helps_at_4(tmp_path: Path) -> None:
    plain = evaluated(tmp_path, *llama("--schemes", "a4,stamp", windows=2))
    rotated = evaluated(tmp_path, *llama("--schemes", "a4,stamp", "--rotate", "hadamard", windows=2))
    assert rotated["stamp"]["kl"] < rotated["a4"]["kl"] < 0.7 * plain["a4"]["kl"]
    assert rotated["stamp"]["layer_sqnr_db"] > plain["stamp"]["layer_sqnr_db"]


def test_given_weights_take_the_place_of_rounded_ones(tmp_path: Path) -> None:
    """The rounded weights in a file give the same figures; others and a rotation change the named layers."""
    from safetensors.numpy import save_file

    from models.load.checkpoint import load
    from stamp_hw.features import hadamard
    from stamp_hw.weights import quantize_weights

    name, other = "model.layers.2.mlp.down_proj", "model.layers.2.self_attn.q_proj"
    weight = load(str(LLAMA), "float32").model.get_submodule(name).weight.detach().numpy()
    rounded = quantize_weights(weight, 4)
    scale = 0.8 * rounded.scale
    codes = np.clip(np.rint(weight / scale[:, None]), -7, 7).astype(np.int8)
    rotation = hadamard(192).astype(np.float32)
    path = tmp_path / "w.safetensors"
    run = llama("--schemes", "stamp", "--layers", "layers.2", windows=2)
    plain = evaluated(tmp_path, *run)
    save_file({f"{name}.codes": rounded.codes, f"{name}.scale": rounded.scale}, path)
    assert evaluated(tmp_path, *run, "--weights", str(path)) == plain
    save_file({f"{name}.codes": codes, f"{name}.scale": scale, f"{other}.rotation": rotation}, path)
    changed = evaluated(tmp_path, *run, "--weights", str(path))
    sqnr = {layer: [row["stamp"]["layers"][layer]["sqnr_db"] for row in (plain, changed)] for layer in (
        name, other, "model.layers.2.self_attn.k_proj")}
    assert sqnr[name][1] > sqnr[name][0] + 0.2, "the largest weights clipped, the others finer"
    assert 0 < abs(sqnr[other][1] - sqnr[other][0]) < 3, "the rotation is undone by the weights"
    assert sqnr["model.layers.2.self_attn.k_proj"][0] == sqnr["model.layers.2.self_attn.k_proj"][1], "in front of both"


def test_weights_that_do_not_fit_are_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import save_file

    path, name = tmp_path / "w.safetensors", "lm_head"
    codes, scale = np.zeros((2048, 192), np.int8), np.ones(2048, np.float32)
    run = llama("--schemes", "a4", "--layers", "lm_head", "--weights", str(path), windows=1)
    for tensors, message in (
        ({"lm_heat.codes": codes}, "unknown tensor"),
        ({f"{name}.code": codes}, "unknown tensor"),
        ({f"{name}.codes": codes}, "incomplete weights"),
        ({f"{name}.codes": codes[:, :-1], f"{name}.scale": scale}, "codes does not fit the layer"),
        ({f"{name}.codes": codes.astype(np.int32), f"{name}.scale": scale}, "codes does not fit the layer"),
        ({f"{name}.codes": codes + np.int8(8), f"{name}.scale": scale}, "codes do not fit weight_bits"),
        ({f"{name}.codes": codes, f"{name}.scale": scale * 0}, "scale out of range"),
        ({f"{name}.codes": codes, f"{name}.scale": scale * np.nan}, "scale out of range"),
        ({f"{name}.codes": codes, f"{name}.scale": scale, f"{name}.factor": np.ones((2048, 8), np.uint8)},
         "unknown tensor"),
        ({f"{name}.q": codes.astype(np.uint8), f"{name}.scale": scale}, "incomplete weights"),
        ({f"{name}.rotation": np.zeros((192, 192), np.float32)}, "rotation cannot be undone"),
        ({f"{name}.rotation": np.full((192, 192), np.nan, np.float32)}, "rotation cannot be undone"),
    ):
        save_file(tensors, path)
        assert message in refused(capsys, *run), message
    run, pair = [*run, "--job", "weight_group=32"], np.ones((2048, 6), np.uint8)
    whole = {f"{name}.q": codes.astype(np.uint8), f"{name}.scale": scale, f"{name}.u": pair, f"{name}.z": pair}
    for change, message in (
        ({"u": pair * np.uint8(10)}, "channel 0, group 0: u·(q − z) leaves INT8; got u = 10, z = 1"),
        ({"z": pair[:, :-1]}, "z does not fit q"), ({"q": codes}, "q does not fit the layer"),
        ({"q": codes.astype(np.uint8) + np.uint8(16)}, "q are no nibbles"),
    ):
        save_file(whole | {f"{name}.{part}": np.ascontiguousarray(value) for part, value in change.items()}, path)
        assert message in refused(capsys, *run), message
    path.write_bytes(b"not safetensors")
    assert "cannot read weights" in refused(capsys, *run)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_model_draws_with_the_engine(pipelines: dict[str, Path], tmp_path: Path, family: str) -> None:
    rows = evaluated(tmp_path, *of_pipeline(pipelines[family], family, "--config", _eight_bit_weights(tmp_path)))
    assert rows["float"]["latent_sqnr_db"] is None, "JSON has no infinity"
    assert rows["weights"]["latent_sqnr_db"] > rows["a8"]["latent_sqnr_db"] > rows["a4"]["latent_sqnr_db"] + 6
    for field in ("picture_sqnr_db", "picture_psnr_db"):
        assert rows["a8"][field] > rows["a4"][field] + 6
    layers = rows["stamp"]["layers"]
    convolutions = [name for name in layers if "conv" in name]
    assert len(convolutions) == (4 if family == "sana" else 0), "two 1 × 1 convolutions in each of 2 blocks"
    assert all(math.isfinite(layer["sqnr_db"]) for layer in layers.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_see_the_grid_or_are_not_transformed(pipelines: dict[str, Path], family: str) -> None:
    from models.evaluate.images import Drawing, draw, grid_of
    from models.evaluate.integer_model import IntegerModel
    from models.load.hub import running
    from models.load.kinds import survey
    from models.load.pipeline import load_pipeline
    from stamp_hw.torch.conv import StampConv

    pipeline = load_pipeline(str(pipelines[family]), "float32")
    layers = survey(pipeline.transformer, family).layers
    integer = IntegerModel(pipeline.transformer, layers, NpuConfig())
    jobs: dict[str, Any] = {}
    drawing = Drawing(prompts=("a boat",), steps=1, size=SIZE[family], seed=0, guidance=4.5)
    with (torch.inference_mode(), running(family), integer.integer(NpuConfig()),
          grid_of(pipeline, integer.set_grid)):
        for found in layers:
            module = pipeline.transformer.get_submodule(found.name)
            stamp = module.linear if isinstance(module, StampConv) else module
            stamp.job = lambda *tokens, name=found.name, job=stamp.job: jobs.setdefault(name, job(*tokens))
        draw(pipeline, drawing, "a boat", 0)
    for found in layers:
        job = jobs[found.name]
        if found.sees == "tokens":
            assert job.grid == GRID[family] and job.levels > 0, found.name
        else:
            assert job.grid is None and job.levels == 0, found.name
        assert found.sees != "pooled" or job.tokens == job.n_hi == 1, found.name


def test_a_model_of_nan_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from models.load.checkpoint import load

    checkpoint = load(str(LLAMA), "float32")
    for name, more, message in (("model.norm", (), "predictions hold NaN"), ("lm_head", (), "NaN"),
                                ("model.layers.0.self_attn.q_proj", ("--kv",), "NaN")):
        module = checkpoint.model.get_submodule(name)
        kept = module.weight.data.clone()
        module.weight.data[0] = torch.nan
        checkpoint.model.save_pretrained(tmp_path / name)
        checkpoint.tokenizer.save_pretrained(tmp_path / name)
        module.weight.data.copy_(kept)
        capsys.readouterr()
        assert message in refused(capsys, "--model", str(tmp_path / name), "--text", str(LLAMA / "heldout.txt"),
                                  "--sequences", "1", "--length", "16", *more)


def test_the_outliers_of_a_job_are_those_of_the_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outliers.yaml"
    path.write_text("job: {outliers: [0, 1]}\n", "utf-8")
    run = llama("--length", "64", "--schemes", "stamp", "--layers", "layers.1", "--calibration",
                str(LLAMA / "calibration.txt"), windows=1)
    by_job = evaluated(tmp_path, *run, "--config", str(path))
    shown = capsys.readouterr().out
    assert "outliers: tokens 0, 1;" in shown and "kept out of the transform: 14 in 7 layers of 7; others than" in shown
    assert by_job == evaluated(tmp_path, *run, "--sinks", "2") == evaluated(tmp_path, *run, "--outliers", "0,1")
    off = evaluated(tmp_path, *run, "--outliers", "off")
    assert "No outlier tokens." in capsys.readouterr().out
    assert by_job["stamp"]["average_bits"] == off["stamp"]["average_bits"] + 8 * 2 / 64


def test_figures_by_kind_and_by_block_are_means_of_the_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                              ) -> None:
    row = evaluated(tmp_path, *llama("--schemes", "stamp", windows=1))["stamp"]
    layers = {name: layer["sqnr_db"] for name, layer in row["layers"].items()}
    assert len(row["kinds"]) == 8 and list(row["blocks"]) == [str(block) for block in range(6)]
    assert row["kinds"]["lm_head"] == layers["lm_head"]
    down = [decibels for name, decibels in layers.items() if name.endswith("down_proj")]
    fourth = [decibels for name, decibels in layers.items() if ".layers.4." in name]
    assert row["kinds"]["down_proj"] == pytest.approx(sum(down) / 6) and len(fourth) == 7
    assert row["blocks"]["4"] == pytest.approx(sum(fourth) / 7)
    assert "Layers dB by kind" in capsys.readouterr().out


def test_the_control_runs_in_a_model_and_costs_what_stamp_costs(tmp_path: Path) -> None:
    """Text has order: shuffled tokens are worse, and still better than untransformed ones, by what they share."""
    rows = evaluated(tmp_path, *llama("--schemes", "first_n,stamp,stamp_shuffled", "--outliers", "off"))
    assert rows["stamp_shuffled"]["average_bits"] == rows["stamp"]["average_bits"]
    decibels = {name: row["layer_sqnr_db"] for name, row in rows.items() if name not in ("float", "weights")}
    assert decibels["first_n"] < decibels["stamp_shuffled"] < decibels["stamp"]


def test_a_static_mean_takes_what_tokens_share(tmp_path: Path) -> None:
    """Of other text; it helps the tokens that no transform helps more than it helps those of `stamp`."""
    run = llama("--schemes", "a4,stamp", "--calibration", str(LLAMA / "calibration.txt"), "--outliers", "off",
                windows=2)
    plain, centered = evaluated(tmp_path, *run), evaluated(tmp_path, *run, "--center")
    gained = {name: centered[name]["layer_sqnr_db"] - plain[name]["layer_sqnr_db"] for name in ("a4", "stamp")}
    assert gained["a4"] > gained["stamp"] and gained["a4"] > 0.1
    assert centered["float"] == plain["float"] and abs(centered["weights"]["kl"] / plain["weights"]["kl"] - 1) < 0.01


def test_a_kind_may_have_outliers_of_its_own(tmp_path: Path) -> None:
    """Calibration and runs look where the kind's job says, whatever the others' does."""
    run = llama("--length", "64", "--schemes", "stamp", "--layers", "layers.1", "--calibration",
                str(LLAMA / "calibration.txt"), windows=1)
    own = tmp_path / "own.yaml"
    counts = {}
    for name, job, kind in (("off", "off", "[0, 5]"), ("named", "[0, 5]", "off")):
        own.write_text(f"job: {{outliers: {job}}}\nkinds: {{down_proj: {{outliers: {kind}}}}}\n", "utf-8")
        rows = evaluated(tmp_path, *run, "--config", str(own))
        counts[name] = {layer.rsplit(".", 1)[1]: found["outliers"] for layer, found in rows["stamp"]["layers"].items()}
    assert counts["off"].pop("down_proj") == 2 and set(counts["off"].values()) == {0}
    assert counts["named"].pop("down_proj") == 0 and set(counts["named"].values()) == {2}


def _eight_bit_weights(tmp_path: Path) -> str:
    path = tmp_path / "w8.yaml"
    path.write_text("job: {weight_bits: 8}\n", "utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3"])
def test_models_that_were_not_made_here_are_evaluated(qwens: dict[str, Path], tmp_path: Path,
                                                      name: str) -> None:
    """Biases, norms on q and k, odd widths; outliers."""
    path = _eight_bit_weights(tmp_path)
    folder = qwens[name]
    rows = evaluated(tmp_path, "--model", str(folder), "--text", str(folder / "text.txt"), "--length", "33",
                     "--sequences", "2", "--sinks", "1", "--config", path)
    assert rows["a8"]["kl"] < 0.2 * rows["a4"]["kl"]
    assert rows["stamp"]["average_bits"] == (8 * 3 + 4 * 31) / 33, "the sink, and two of 33 tokens"
    assert all(layer["sqnr_db"] > 25 for layer in rows["a8"]["layers"].values())


def test_bad_input_is_one_clear_error(pipelines: dict[str, Path], tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    text = str(LLAMA / "heldout.txt")
    small = tmp_path / "small.yaml"
    small.write_text("hw: {max_k: 100}\n", "utf-8")
    own, sinks = tmp_path / "own.yaml", tmp_path / "sinks.yaml"
    own.write_text("job: {calibration: self}\n", "utf-8")
    sinks.write_text("job: {outliers: 0}\n", "utf-8")
    kinds = tmp_path / "kinds.yaml"
    kinds.write_text("kinds: {q_proj: {outliers: [0, 40]}}\n", "utf-8")
    static = tmp_path / "static.yaml"
    static.write_text("job: {calibration: static}\n", "utf-8")
    for argv, message in (
        (llama("--schemes", "stamp_shuffled", "--kv"), "no tokens to shuffle"),
        (llama("--schemes", "a5"), "unknown scheme"), (llama("--center"), "no text to take means from"),
        (llama("--guidance", "3"), "option of the other kind"),
        (llama("--sinks", "512"), "too many outliers"), (llama("--outliers", "512"), "outliers are no tokens"),
        (llama("--outliers", "9,3"), "outliers are no tokens"),
        (llama("--outliers", "0,60", "--length", "64", "--decode", "8"), "positions in 0…54"),
        (llama("--outliers", "0", "--config", str(kinds)), "kinds.q_proj.outliers as well"),
        (llama("--config", str(kinds), "--length", "9"), "kinds.q_proj.outliers: outliers are no tokens"),
        (llama("--layers", "nothing"), "no linear layer matches"),
        (llama("--config", str(small)), "max_k"),
        (llama("--config", str(static)), "no static scales"),
        (llama("--json", text), "in the way"), (llama("--json", str(LLAMA / "config.json")), "in the way"),
        (llama("--json", str(LLAMA / "new.json")), "in the way"),
        (llama("--calibration", text), "calibrated on what is measured"),
        (llama("--calibration", str(LLAMA / "calibration.txt"), "--config", str(own)), "scales given twice"),
        (llama("--sinks", "1", "--config", str(sinks)), "outliers given twice"),
        (llama("--length", "1"), "windows too short"),
        (llama(windows=10**6), "text is too short"),
        (["--model", str(pipelines["pixart"]), "--text", text], "not a language model"),
        (of_pipeline(pipelines["pixart"], "pixart", "--size", "33"), "size does not fit"),
        (of_pipeline(pipelines["pixart"], "pixart", "--sinks", "1"), "option of the other kind"),
    ):
        assert message in refused(capsys, *argv), message
    assert not (tmp_path / "eval.json").exists()


def test_layers_of_a_width_share_one_rotation_and_fold_it_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory it is there once; the codes are those of one solution for all output channels."""
    from models.evaluate.integer_model import IntegerModel, rotations_of
    from models.load.checkpoint import load
    from models.load.kinds import survey
    from stamp_hw.torch import engine
    from stamp_hw.weights import quantize_weights

    checkpoint = load(str(LLAMA), "float32")
    found = survey(checkpoint.model, "causal", r"layers\.0\.|lm_head").layers
    rotations = rotations_of(found, {}, "hadamard")
    monkeypatch.setattr(engine, "CHANNELS", 200)
    integer = IntegerModel(checkpoint.model, found, NpuConfig(), rotations=rotations)
    shared: dict[int, set[int]] = {}
    with integer.integer(NpuConfig()):
        for layer in found:
            stamp = checkpoint.model.get_submodule(layer.name)
            shared.setdefault(stamp.in_features, set()).add(stamp.rotation.data_ptr())
            turned = torch.linalg.solve(rotations[layer.name].double(), layer.weight.double().T).T
            whole = quantize_weights(turned.float().numpy(), 4)
            assert np.array_equal(stamp.wgt.numpy(), whole.codes) and np.array_equal(stamp.scale.numpy(), whole.scale)
    assert len(shared) == 2 and all(len(places) == 1 for places in shared.values())


def test_what_is_freed_goes_back_to_the_system() -> None:
    """Blocks that the C library would keep, below the size that it takes from the system one by one."""
    from models.evaluate.memory import give_back, peak_mb

    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    blocks = [np.ones(1 << 13) for _ in range(3000)]  # 64 KiB each
    full = resident_mb()
    kept = blocks[-1]  # pins the end of the heap
    del blocks
    give_back()
    assert resident_mb() < full - 150 and kept.sum() == 1 << 13
    assert peak_mb() > full - 1
