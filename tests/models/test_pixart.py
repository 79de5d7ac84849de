"""The small PixArt: its parts do what they are said to do, training learns, what ships keeps its recorded figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw.cli.main import main
from stamp_hw.errors import OutputError, TraceError
from stamp_hw.formats.trace import Trace
from tests.support.dump_cases import command
from tests.support.picture_cases import encoded, files, zipped

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models" / "pixart_small"
TRACE = ROOT / "models" / "traces" / "pixart_small.safetensors"
PICTURES = ROOT.parent / "shared" / "data" / "flowers_ccby_128.zip"


@pytest.fixture(autouse=True)
def libraries_may_warn() -> Iterator[None]:
    pytest.importorskip("diffusers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def untrained(**changes: Any) -> Any:
    from models.train.small_pixart import build_pipeline

    return build_pipeline(("daisy", "red tulip"), **{"heads": 1, "blocks": 1, "seed": 0, **changes})


# --- parts -----------------------------------------------------------------------------------------------------------

def test_the_vae_hands_pixels_through(rng: np.random.Generator) -> None:
    import torch

    from models.train.small_pixart import identity_vae

    x = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32))
    x[1] *= 0.01  # a picture that is nearly grey
    for dtype, allowed in ((torch.float32, 1e-4), (torch.bfloat16, 2**-7)):
        vae = identity_vae().to(dtype)
        with torch.no_grad():
            latents = vae.encode(x.to(dtype)).latent_dist
            assert (latents.mean.float() - x).abs().max() <= allowed and latents.std.max() < 1e-6
            assert (vae.decode(x.to(dtype)).sample.float() - x).abs().max() <= allowed
    assert vae.config.scaling_factor == 1.0


def test_noise_is_that_of_the_pipelines_scheduler() -> None:
    from models.train.small_pixart import noise_levels

    a, sigma = noise_levels()
    assert np.abs(untrained().scheduler.alphas_cumprod.numpy() - a**2).max() < 1e-6
    assert np.abs(a**2 + sigma**2 - 1).max() < 1e-12


def test_captions_are_taken_as_the_pipeline_takes_them(rng: np.random.Generator) -> None:
    """With 300 tokens, of which the padding counts nothing, the transformer finds the same noise."""
    import torch

    from models.train.small_pixart import caption, encode_captions, predict

    pipe = untrained()
    captions = [caption("daisy"), caption("red tulip"), ""]
    text, mask = encode_captions(pipe, captions)
    assert mask.sum(1).tolist() == [5, 6, 1]  # a word, a token; and the end
    x = torch.from_numpy(rng.standard_normal((3, 3, 32, 32), dtype=np.float32))
    levels = np.array([10, 500, 990])
    with torch.no_grad():
        found = predict(pipe.transformer, x, levels, text, mask)
        long, long_mask, *_ = pipe.encode_prompt(captions, False, clean_caption=False)
        assert long.shape[1] == 300
        assert (predict(pipe.transformer, x, levels, long, long_mask) - found).abs().max() < 1e-5
        swapped = predict(pipe.transformer, x, levels, text[[1, 0, 2]], mask[[1, 0, 2]])
        assert (swapped[:2] - found[:2]).abs().amax((1, 2, 3)).min() > 1e-5  # a caption makes a difference


def test_coefficients_keep_the_energy_and_gather_it_first(rng: np.random.Generator) -> None:
    from models.train.evaluate_pixart import transformed

    x = rng.standard_normal((4, 3, 32, 32))
    assert np.square(transformed(x)).sum() == pytest.approx(np.square(x).sum())
    assert np.abs(transformed(x[:1] + x[1:2]) - transformed(x[:1]) - transformed(x[1:2])).max() < 1e-9
    grey = transformed(np.ones((1, 3, 32, 32)))
    assert grey[0, 0, 0, 0] == pytest.approx(np.sqrt(3 * 32 * 32)) and np.square(grey).sum() == pytest.approx(3072)


def test_linear_baselines_reach_what_theory_says(rng: np.random.Generator) -> None:
    """Pictures of white noise of known variance: every coefficient's best loss is a²v/(a²v + σ²)."""
    from models.train.evaluate_pixart import HeldOut, baselines
    from models.train.small_pixart import noise_levels, scaled

    pixels = rng.integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    flat = np.ones((3, 32, 32), dtype=np.float32)
    held_out = HeldOut(pixels=pixels, labels=np.zeros(60, dtype=np.int64), mean=0 * flat,
                       variance=np.float32(np.square(scaled(pixels)).mean()) * flat)
    found, (a, sigma) = baselines(held_out), noise_levels()
    signal = a[held_out.noisy()[1]] ** 2 * np.square(scaled(pixels)).mean()
    expected = (signal / (signal + sigma[held_out.noisy()[1]] ** 2)).mean()
    assert found["zero"].mean() == pytest.approx(1, abs=0.02)
    assert found["factor"].mean() == pytest.approx(expected, rel=0.05)
    assert found["wiener"].mean() == pytest.approx(expected, rel=0.05)


# --- training --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 64 smooth pictures of two kinds, one reddish and one bluish."""
    rng, contents = np.random.default_rng(0), {"ATTRIBUTION.txt": b"by nobody"}
    for number in range(64):
        ramp = np.linspace(0, 1, 32)[:, None, None] * rng.uniform(0, 200, 3) + rng.uniform(0, 50, 3)
        kind = ("daisy", "red_tulip")[number % 2]
        pixels = np.broadcast_to(ramp, (32, 32, 3)) * ([1, 0.3, 0.3] if kind == "red_tulip" else [0.3, 0.3, 1])
        contents[f"{kind}/{number}.png"] = encoded(pixels.astype(np.uint8))
    return zipped(tmp_path_factory.mktemp("photographs") / "p.zip", contents)


def recipe(**changes: Any) -> Any:
    from models.train.training_run import Recipe

    return Recipe(**{"heads": 1, "blocks": 1, "batch": 4, "steps": 10, "warmup": 2, "dtype": "float32", **changes})


def test_training_lowers_the_held_out_loss_and_writes_a_whole_checkpoint(tmp_path: Path, photographs: Path) -> None:
    from safetensors import safe_open

    from models.train.evaluate_pixart import figures
    from models.train.pixart import run

    out = tmp_path / "out"
    record = run(photographs, out, recipe(steps=60, warmup=10))
    loss = record["loss"]
    assert loss["trained"] < 0.6 * loss["zero"] and loss["random_twin"] > loss["zero"]
    assert json.loads((out / "training.json").read_text()) == record
    assert {name: round(float(value.mean()), 5) for name, value in figures(out).items()} == loss
    assert (out / "ATTRIBUTION.txt").read_bytes() == b"by nobody"
    assert record["kinds"] == ["daisy", "red tulip"] and record["pictures"]["held_out"] > 0
    assert sum(record["pictures"].values()) == 64
    assert {path.name for path in tmp_path.iterdir()} == {"out"}  # nothing is left of the training in progress
    for name in ("transformer", "vae", "text_encoder"):
        with safe_open(next((out / name).glob("*.safetensors")), "np") as weights:
            assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"BF16"}  # noqa: SIM118
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("a photo of red tulip")
    assert command("dump", "--model", str(out), "--prompts", str(prompt), "--size", "32", "--steps", "1",
                   "--inference-steps", "2", "--layers", "proj_out", "--out", str(tmp_path / "t")) == 0


def weights(transformer: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in transformer.state_dict().items()}


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path, photographs: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the number of steps changes, as long as the learning rate has not begun to fall."""
    import torch

    from models.train.pictures import read_pictures
    from models.train.pixart import train
    from models.train.training_run import Run

    read, chosen, progress = read_pictures(photographs, 32), np.arange(50), tmp_path / "p"
    whole = weights(train(untrained(), read, chosen, recipe(steps=10)))
    advance = Run.advance

    def interrupted(self: Any, *args: Any) -> float:
        if self.step == 5:
            raise KeyboardInterrupt
        return advance(self, *args)

    monkeypatch.setattr(Run, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(untrained(), read, chosen, recipe(steps=14), progress, every=2)
    monkeypatch.undo()
    saved, other = progress.read_bytes(), untrained()
    for value in other.transformer.parameters():  # what is on the disk counts, nothing else
        torch.nn.init.zeros_(value)
    found = weights(train(other, read, chosen, recipe(steps=10), progress, every=100))
    assert whole.keys() == found.keys() and all(torch.equal(whole[name], found[name]) for name in whole)

    progress.write_bytes(saved)
    for wanted, message in ((recipe(steps=10, batch=3), "another training is in progress"),
                            (recipe(steps=4), "too late to change the number of steps")):
        with pytest.raises(TraceError, match=message):
            train(untrained(), read, chosen, wanted, progress)
    progress.write_bytes(saved[:-10])
    with pytest.raises(TraceError, match="cannot go on with this training"):
        train(untrained(), read, chosen, recipe(steps=10), progress)


def test_an_epoch_sees_every_picture_once_and_a_batch_every_part_of_the_levels() -> None:
    from models.train.training_run import draw

    one = recipe(batch=8)
    drawn = [draw(step, 20, one) for step in range(15)]  # six epochs
    seen = np.concatenate([chosen for chosen, *_ in drawn]).reshape(6, 20)
    assert (np.sort(seen, 1) == np.arange(20)).all() and len({tuple(row) for row in seen}) == 6
    assert all((np.sort(levels) // 125 == np.arange(8)).all() for *_, levels, _ in drawn)
    assert all((a == b).all() for a, b in zip(draw(7, 20, one), drawn[7], strict=True))


@pytest.mark.parametrize(("case", "message"), [
    ("missing", "cannot read pictures"), ("no pictures", "no pictures"), ("too few", "too few pictures"),
    ("damaged", "daisy/bad.jpg: damaged picture")])
def test_wrong_pictures_end_with_exit_code_2(tmp_path: Path, rng: np.random.Generator, case: str, message: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    from models.load.checkpoint import run_command
    from models.train.pixart import main

    path, contents = tmp_path / "p.zip", files(rng)
    if case != "missing":
        zipped(path, {"no pictures": {"a.txt": b""}, "too few": contents,
                      "damaged": {**contents, "daisy/bad.jpg": b"none"}}[case])
    words = ["--pictures", str(path), "--out", str(tmp_path / "out"), "--steps", "1", "--batch", "50"]
    assert run_command(lambda: main(words)) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and message in line
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_of_before_training(tmp_path: Path, photographs: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    from models.train import pixart as train_pixart

    monkeypatch.setattr(train_pixart, "train", lambda *_: pytest.fail("trained first"))
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            train_pixart.run(photographs, out, recipe())
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("option", ["--steps", "--batch", "--heads", "--blocks", "--threads"])
def test_an_option_out_of_range_is_refused(tmp_path: Path, option: str) -> None:
    from models.train.pixart import main

    with pytest.raises(TraceError, match="out of range"):
        main(["--pictures", str(tmp_path), "--out", str(tmp_path / "out"), option, "0"])


# --- what ships ------------------------------------------------------------------------------------------------------

@pytest.mark.long
def test_the_held_out_loss_is_the_recorded_one_and_below_every_baseline() -> None:
    from models.train import evaluate_pixart as evaluate
    from models.train.small_pixart import load, random_twin

    recorded = json.loads((SHIPPED / "training.json").read_text())["loss"]
    held_out, kinds, pipe = evaluate.read_held_out(SHIPPED), evaluate.read_kinds(SHIPPED), load(SHIPPED)
    found = evaluate.losses(pipe, pipe.transformer, held_out, kinds).mean()
    simple = {name: loss.mean() for name, loss in evaluate.baselines(held_out).items()}
    some = slice(0, 30)
    twin = random_twin(pipe.transformer, evaluate.TWIN_SEED)
    assert abs(found / recorded["trained"] - 1) <= 0.03
    assert found <= 0.25 * simple["zero"] and found < simple["wiener"] < simple["factor"] < simple["zero"]
    assert simple == pytest.approx({name: recorded[name] for name in simple}, rel=1e-3)
    assert evaluate.losses(pipe, twin, held_out, kinds, some).mean() > 0.9


def test_what_ships_is_small_and_safe() -> None:
    from safetensors import safe_open

    every = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in every) <= 12_000_000 and TRACE.stat().st_size <= 6_000_000
    assert {path.suffix for path in every} == {".json", ".safetensors", ".txt"}
    with safe_open(SHIPPED / "transformer" / "diffusion_pytorch_model.safetensors", "np") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118


def test_the_recipe_is_the_recorded_one() -> None:
    from models.train.training_run import Recipe

    assert asdict(Recipe()) == json.loads((SHIPPED / "training.json").read_text())["recipe"]


def test_every_picture_that_was_used_is_attributed() -> None:
    record = json.loads((SHIPPED / "training.json").read_text())
    licence, *lines = (SHIPPED / "ATTRIBUTION.txt").read_text(encoding="utf-8").strip().splitlines()
    assert "creativecommons.org/licenses/by/2.0" in licence and "resized" in licence
    pictures = [line for line in lines if " CC-BY by " in line and "https://www.flickr.com/" in line]
    assert len(pictures) == sum(record["pictures"].values())
    assert {line.partition("/")[0] for line in pictures} == set(record["kinds"])


def test_the_held_out_pictures_are_those_of_the_recorded_file() -> None:
    from models.train.evaluate_pixart import read_held_out, transformed
    from models.train.pictures import read_pictures, without_copies
    from models.train.pixart import HOLD_OUT_EVERY
    from models.train.small_pixart import SIDE, scaled

    if not PICTURES.is_file():
        pytest.skip("the photographs that the small PixArt was trained on are not on this machine")
    read, record = read_pictures(PICTURES, SIDE), json.loads((SHIPPED / "training.json").read_text())
    assert read.sha256 == record["sha256"]["pictures"]
    training, held_out = read.split(HOLD_OUT_EVERY)
    chosen, shipped = without_copies(read.pixels, training, held_out), read_held_out(SHIPPED)
    assert record["pictures"] == {"training": len(chosen), "held_out": len(held_out),
                                  "near_copies": len(training) - len(chosen)}
    # Another version of Pillow may round a pixel differently.
    assert np.abs(shipped.pixels.astype(int) - read.pixels[held_out]).max() <= 2
    assert (shipped.labels == read.labels[held_out]).all()
    coefficients = transformed(scaled(read.pixels[chosen]))
    assert np.abs(shipped.mean - coefficients.mean(0)).max() < 0.02
    assert shipped.variance == pytest.approx(coefficients.var(0), rel=0.02)
    assert set(read.names) <= {line.partition(" ")[0] for line in read.attribution.splitlines()}


def test_the_shipped_trace_is_that_of_the_shipped_checkpoint(tmp_path: Path) -> None:
    """Weights are equal; activations agree up to what bfloat16 products on another processor add up to in ten steps."""
    from models.train.make_traces import make_pixart

    make_pixart(tmp_path / "t")
    with Trace.open(tmp_path / "t") as made, Trace.open(TRACE) as shipped:
        assert made.layer_names == shipped.layer_names and len(shipped) == 26
        assert {**made.metadata, "versions": 0} == {**shipped.metadata, "versions": 0}
        for name in shipped.layer_names:
            entry = shipped.entry(name)
            assert entry.grid == ((16, 16) if entry.transform else None)
            new, old = made.layer(name), shipped.layer(name)
            assert (new.weight == old.weight).all()
            assert np.square(new.x - old.x).sum() <= 0.03 * np.square(old.x).sum(), name
        kinds = {shipped.entry(name).kind for name in shipped.layer_names if shipped.entry(name).transform}
        assert kinds == {"self_q", "self_k", "self_v", "self_o", "cross_q", "cross_o", "ff_in", "ff_out", "proj_out"}


def test_the_demo_runs_both_shipped_traces() -> None:
    said = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = said.replace("\\\n", " ").splitlines()
    for name in ("llama_small", "pixart_small"):
        found = [line for line in lines if f"simulate models/traces/{name}.safetensors" in line]
        assert len(found) == 1 and f"--json build/demo/{name}.json" in found[0] and "--plots build/demo" in found[0]
        assert (ROOT / "models" / "traces" / f"{name}.safetensors").is_file()


def test_the_shipped_trace_is_simulated_on_its_grid(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert main(["simulate", str(TRACE), "--layers", r"blocks\.4\.attn1|attn2\.to_k", "--json",
                 str(report), "--schemes", "a4,first_n,stamp,stamp_shuffled"]) == 0
    layers = json.loads(report.read_text())["layers"]
    assert len(layers) == 6
    for name, schemes in layers.items():
        if "attn2" in name:
            assert schemes["stamp"]["grid"] is None and schemes["stamp"]["sqnr_db"] == schemes["first_n"]["sqnr_db"]
        else:
            assert schemes["stamp"]["grid"] == [16, 16]
            assert schemes["stamp"]["sqnr_db"] > schemes["stamp_shuffled"]["sqnr_db"]  # neighbours are alike


def test_the_shipped_checkpoint_can_be_dumped_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    from models.train.evaluate_pixart import read_held_out, read_kinds

    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a photo of roses")
    out = tmp_path / "t"
    assert command("dump", "--model", str(SHIPPED), "--prompts", str(prompts), "--size", "32", "--steps", "1,2",
                   "--inference-steps", "20", "--layers", "attn1.to_q", "--out", str(out)) == 0
    with Trace.open(out) as trace:
        assert len(trace) == 12 and {trace.entry(name).grid for name in trace.layer_names} == {(16, 16)}
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copy(SHIPPED / "heldout.safetensors", broken)
    (broken / "training.json").write_text('{"kinds": [1]}')
    with pytest.raises(TraceError, match="no kinds of picture"):
        read_kinds(broken)
    (broken / "heldout.safetensors").write_bytes((SHIPPED / "heldout.safetensors").read_bytes()[:-5])
    with pytest.raises(TraceError, match="cannot read held-out pictures"):
        read_held_out(broken)
