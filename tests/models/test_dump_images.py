"""Dumps of tiny PixArt and SANA pipelines equal what independent hooks see; each layer is what its name says it is."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.load import kinds
from stamp_hw.cli.main import main
from stamp_hw.formats.trace import FULL_SCALE, Trace
from tests.support import image_models
from tests.support.image_models import FAMILIES, GRID, PROMPTS, RUN, SIZE, STEPS, dump

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]

#: What belongs to every block: name → (kind, is transformed).
BLOCK = {"attn1.to_q": ("self_q", True), "attn1.to_k": ("self_k", True), "attn1.to_v": ("self_v", True),
         "attn1.to_out.0": ("self_o", True), "attn2.to_q": ("cross_q", True), "attn2.to_k": ("cross_k", False),
         "attn2.to_v": ("cross_v", False), "attn2.to_out.0": ("cross_o", True)}
FEED_FORWARD = {"pixart": {"ff.net.0.proj": ("ff_in", True), "ff.net.2": ("ff_out", True)},
                "sana": {"ff.conv_inverted": ("ff_in", True), "ff.conv_point": ("ff_out", True)}}
REST = {"caption_projection.linear_1": ("text_proj", False), "caption_projection.linear_2": ("text_proj", False),
        "proj_out": ("proj_out", True)}
OWN = {"pixart": {"adaln_single.emb.timestep_embedder.linear_1": ("time", False),
                  "adaln_single.emb.timestep_embedder.linear_2": ("time", False),
                  "adaln_single.linear": ("time", False)},
       "sana": {"time_embed.emb.timestep_embedder.linear_1": ("time", False),
                "time_embed.emb.timestep_embedder.linear_2": ("time", False), "time_embed.linear": ("time", False),
                "patch_embed.proj": ("patch", True)}}


@pytest.fixture(scope="module")
def dumped(pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("dumps")
    return {family: dump(pipelines[family], root / family) for family in FAMILIES}


def independent(folder: Path, family: str, seed: int = 0) -> dict[str, list[tuple[Any, Any]]]:
    """The whole runs, by other means than ours: layer of the trace → [x, y] with both sequences, as torch has them."""
    import torch
    from diffusers import DiffusionPipeline

    seen: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = DiffusionPipeline.from_pretrained(folder)
        pipe.set_progress_bar_config(disable=True)
        now = {"prompt": 0, "step": 0}
        pipe.transformer.register_forward_pre_hook(lambda *_: now.update(step=now["step"] + 1))
        for name, module in pipe.transformer.named_modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
                module.register_forward_hook(lambda _, args, y, name=name: seen.update(
                    {f"{name}@prompt{now['prompt']}.step{now['step']}": (args[0].clone(), y.clone())}))
        for number, prompt in enumerate(PROMPTS, 1):
            now.update(prompt=number, step=0)
            pipe(prompt, num_inference_steps=RUN, height=SIZE[family][0], width=SIZE[family][1], guidance_scale=4.5,
                 generator=torch.Generator().manual_seed(seed), output_type="latent", clean_caption=False,
                 use_resolution_binning=False)
    return seen


def tokens(value: Any) -> np.ndarray:
    """Sequences × tokens × channels."""
    if value.ndim == 4:
        value = value.flatten(2).transpose(1, 2)
    return np.asarray(value.reshape(2, -1, value.shape[-1]).numpy())


# --- what is captured ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("family", FAMILIES)
def test_captures_equal_what_an_independent_hook_sees(pipelines: dict[str, Path], dumped: dict[str, Path],
                                                      family: str) -> None:
    import torch

    seen = independent(pipelines[family], family)
    largest: dict[str, list[float]] = {}
    for name, (x, y) in seen.items():
        if int(name[-1]) in STEPS:
            both = largest.setdefault(name.rpartition("@")[0], [0.0, 0.0])
            both[:] = max(both[0], float(x.abs().max())), max(both[1], float(y.abs().max()))
    with Trace.open(dumped[family]) as trace:
        assert trace.calibration == "static: 8 sequences"  # 2 prompts, 2 steps, 2 sequences of guidance
        for layer in trace:
            x, y = seen[layer.name]
            assert (layer.x == tokens(x)[1]).all(), layer.name  # the conditional one
            if x.ndim == 4:
                grid = torch.from_numpy(layer.x.T.copy()).reshape(1, -1, *GRID[family])
                product = torch.nn.functional.conv2d(grid, torch.from_numpy(layer.weight)[:, :, None, None],
                                                     None if layer.bias is None else torch.from_numpy(layer.bias))
                product = product.flatten(2)[0].T.numpy()
            else:
                product = layer.x @ layer.weight.T + (0 if layer.bias is None else layer.bias)
            assert np.abs(product - tokens(y)[1]).max() <= 1e-5 * np.abs(tokens(y)).max() + 1e-7
            module = layer.name.rpartition("@")[0]
            assert [layer.s_x, layer.s_y] == [value / FULL_SCALE for value in largest[module]]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_has_its_kind_its_grid_and_its_mark(dumped: dict[str, Path], family: str) -> None:
    expected = {**REST, **OWN[family]}
    for number in range(image_models.LAYERS):
        expected |= {f"transformer_blocks.{number}.{name}": what
                     for name, what in {**BLOCK, **FEED_FORWARD[family]}.items()}
    with Trace.open(dumped[family]) as trace:
        suffixes = [f"@prompt{prompt}.step{step}" for prompt in (1, 2) for step in STEPS]
        assert set(trace.layer_names) == {name + suffix for name in expected for suffix in suffixes}
        for name in trace.layer_names:
            entry = trace.entry(name)
            assert (entry.kind, entry.transform) == expected[name.rpartition("@")[0]]
            assert entry.grid == (GRID[family] if entry.transform else None)
            rows = trace.tensor(entry.input).shape[0]
            assert rows == (np.prod(GRID[family]) if entry.transform else 1 if entry.kind == "time" else 300)
        # In the order of runs, and what one run holds is together.
        assert [name.rpartition("@")[2] for name in trace.layer_names] == [
            suffix[1:] for suffix in suffixes for _ in expected]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_no_linear_layer_is_recorded_as_not_covered(dumped: dict[str, Path], family: str) -> None:
    with Trace.open(dumped[family]) as trace:
        found = {item["name"]: item["reason"] for item in trace.metadata["not_covered"]}
    assert found == ({"pos_embed.proj": "2 × 2 convolution, stride 2 × 2"} if family == "pixart" else {
        f"transformer_blocks.{number}.ff.conv_depth": "3 × 3 convolution in 120 groups (depthwise)"
        for number in range(image_models.LAYERS)})


def test_the_trace_says_how_it_was_made(pipelines: dict[str, Path], dumped: dict[str, Path]) -> None:
    with Trace.open(dumped["pixart"]) as trace:
        said = trace.metadata
    assert {key: said[key] for key in said if key not in ("versions", "not_covered", "calibration")} == {
        "model": str(pipelines["pixart"]), "family": "pixart", "prompts": list(PROMPTS), "steps": [1, 3], "seed": 0,
        "inference_steps": 4, "size": [32, 48], "guidance": 4.5, "dtype": "float32", "device": "cpu",
        "linear_layers": 26}
    assert set(said["versions"]) == {"numpy", "torch", "transformers", "diffusers"}


def test_an_input_and_a_weight_are_stored_once(dumped: dict[str, Path]) -> None:
    with Trace.open(dumped["pixart"]) as trace:
        entries = {name: trace.entry(name) for name in trace.layer_names}
        keys = {entry.input for name, entry in entries.items() if ".attn2.to_k@" in name or ".attn2.to_v@" in name}
        assert len(keys) == 2  # the prompt's, whatever block and step
        q, k, v = (entries[f"transformer_blocks.1.attn1.to_{which}@prompt2.step3"] for which in "qkv")
        assert q.input == k.input == v.input
        assert {entries[f"proj_out@prompt{p}.step{s}"].weight for p in (1, 2) for s in STEPS} == {"weight.proj_out"}


def test_without_guidance_one_step_is_scaled_by_itself(tmp_path: Path, pipelines: dict[str, Path]) -> None:
    (tmp_path / "one.txt").write_text(PROMPTS[0])
    out = dump(pipelines["sana"], tmp_path / "t", "--steps", "2", "--guidance", "1", "--prompts",
               str(tmp_path / "one.txt"), "--layers", r"proj_out|attn2\.to_k")
    with Trace.open(out) as trace:
        assert trace.calibration == "self" and trace.metadata["guidance"] == 1.0 and len(trace) == 3
        assert {trace.entry(name).grid for name in trace.layer_names} == {(4, 5), None}


def test_names_that_no_rule_knows_are_recorded_as_other(tmp_path: Path, pipelines: dict[str, Path],
                                                        monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    known = tuple(rule for rule in kinds.FAMILIES["pixart"] if rule.kind not in ("ff_in", "time"))
    monkeypatch.setitem(kinds.FAMILIES, "pixart", known)
    with caplog.at_level(logging.WARNING):
        dump(pipelines["pixart"], tmp_path / "t", "--steps", "1", "--layers", r"net|adaln_single\.linear")
    assert "3 layers of unknown role, recorded as kind other" in caplog.text
    with Trace.open(tmp_path / "t") as trace:
        found = {name.partition("@")[0]: trace.entry(name) for name in trace.layer_names}
    # One that sees the grid's tokens is taken for a layer of them; a vector is not.
    block = found["transformer_blocks.0.ff.net.0.proj"]
    assert (block.kind, block.transform, block.grid) == ("other", True, GRID["pixart"])
    assert (found["adaln_single.linear"].kind, found["adaln_single.linear"].transform) == ("other", False)


@pytest.mark.parametrize(("stored", "asked", "expected"), [
    ("bfloat16", None, "bfloat16"), ("float16", "bfloat16", "bfloat16"), ("float32", "float16", "float16")])
def test_the_dtype_is_the_checkpoints_unless_another_is_asked_for(
        tmp_path: Path, pipelines: dict[str, Path], stored: str, asked: str | None, expected: str) -> None:
    import torch
    from diffusers import SanaTransformer2DModel

    folder = shutil.copytree(pipelines["sana"], tmp_path / "sana")
    SanaTransformer2DModel.from_pretrained(folder / "transformer").to(getattr(torch, stored)).save_pretrained(
        folder / "transformer")
    out = dump(folder, tmp_path / "t", "--steps", "1", "--layers", "proj_out", *(("--dtype", asked) if asked else ()))
    with Trace.open(out) as trace:
        entry = trace.entry(trace.layer_names[0])
        assert {trace.tensor(name).dtype for name in (entry.input, entry.weight)} == {expected}
        assert trace.metadata["dtype"] == expected


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path, pipelines: dict[str, Path],
                                              capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    dump(pipelines["pixart"], tmp_path / "t", "--layers", "proj_out")
    shown = capsys.readouterr().err
    assert "prompt 2/2, step 3/4, layer 1/1" in shown and shown.endswith("\x1b[K")
    assert "step 4/4" not in shown  # nothing runs behind the last step that is wanted
    monkeypatch.undo()
    dump(pipelines["pixart"], tmp_path / "t", "--layers", "proj_out")
    assert capsys.readouterr().err == ""


# --- layouts of the hub ----------------------------------------------------------------------------------------------

def test_the_older_name_of_the_transformers_class_is_known(tmp_path: Path, pipelines: dict[str, Path],
                                                           dumped: dict[str, Path]) -> None:
    folder = shutil.copytree(pipelines["pixart"], tmp_path / "pixart")
    for path in (folder / "model_index.json", folder / "transformer" / "config.json"):
        path.write_text(path.read_text().replace("PixArtTransformer2DModel", "Transformer2DModel"))
    with Trace.open(dump(folder, tmp_path / "t")) as trace, Trace.open(dumped["pixart"]) as same:
        assert trace.layer_names == same.layer_names
        assert all((a.x == b.x).all() for a, b in zip(trace, same, strict=True))


def test_weights_that_are_there_as_a_variant_only_are_found(tmp_path: Path, pipelines: dict[str, Path]) -> None:
    folder = shutil.copytree(pipelines["pixart"], tmp_path / "pixart")
    plain = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    plain.rename(plain.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with Trace.open(dump(folder, tmp_path / "t", "--steps", "1", "--layers", "proj_out")) as trace:
        assert len(trace) == 2


def test_a_tokenizer_that_is_a_sentencepiece_model_is_read(tmp_path: Path, pipelines: dict[str, Path]) -> None:
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    folder = shutil.copytree(pipelines["pixart"], tmp_path / "pixart")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with (folder / "tokenizer" / "spiece.model").open("wb") as stream:
        trainer.train(sentence_iterator=iter(PROMPTS * 3), model_writer=stream, vocab_size=27, pad_id=0, eos_id=1,
                      unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=3)
    with Trace.open(dump(folder, tmp_path / "t", "--steps", "1", "--layers", "caption_projection.linear_1")) as trace:
        one, two = trace
        assert (one.x != two.x).any()


# --- simulation ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_trace_is_simulated_with_the_2d_transform(tmp_path: Path, dumped: dict[str, Path], family: str,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert main(["simulate", str(dumped[family]), "--layers", r"(blocks\.1|time_embed|adaln).*@prompt1\.step3",
                 "--json", str(report), "--schemes", "a4,first_n,stamp"]) == 0
    printed = capsys.readouterr().out
    layers = json.loads(report.read_text())["layers"]
    grids = [name for name, schemes in layers.items() if schemes["stamp"]["transform"]]
    assert len(grids) == 8 and len(layers) == len(grids) + 5
    for name, schemes in layers.items():
        if name in grids:
            assert schemes["stamp"]["grid"] == list(GRID[family]) and schemes["stamp"]["levels"] == 3
        else:
            assert schemes["stamp"]["grid"] is None and schemes["stamp"]["levels"] == 0
            assert schemes["stamp"] == schemes["first_n"]
    parts = 2  # of the table of layers, which is folded
    assert printed.count("†") == parts * (5 + 1) + 1 and printed.count("mean of 5†") == parts
    assert "5 layers without transform under every scheme" in printed
    if family == "pixart":
        assert main(["trace", "info", str(dumped[family])]) == 0
        shown = capsys.readouterr().out
        assert "runs without transform" in shown and "pos_embed.proj – 2 × 2 convolution, stride 2 × 2" in shown
        row = next(line.split() for line in shown.splitlines() if "0.attn2.to_k@prompt1.step1" in line)
        assert row[1:6] == ["cross_k", "300", "24", "24", "300†"]
