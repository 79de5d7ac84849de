"""What cannot be dumped of an image pipeline is refused in one line, and leaves nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from models.dump.images import Request, read_prompts
from models.load.hub import superfluous
from stamp_hw.errors import TraceError
from tests.support.image_models import refused, words

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]

LLAMA = Path(__file__).parents[2] / "models" / "llama_small"


@pytest.fixture(scope="module")
def pixart(pipelines: dict[str, Path]) -> Path:
    return pipelines["pixart"]


def request(**change: Any) -> Request:
    return Request(**{"prompts": ("a",), "steps": (1,), "inference_steps": 4, "size": (32, 32), "seed": 0,
                      "guidance": 4.5, **change})


@pytest.mark.parametrize(("change", "message"), [
    ({"steps": (5,)}, "--steps: steps out of range; got 5; expected different numbers in 1…4"),
    ({"steps": (0, 1)}, "--steps"), ({"steps": (1, 1)}, "--steps"), ({"steps": ()}, "--steps"),
    ({"inference_steps": 0}, "--inference-steps"), ({"inference_steps": 1001}, "--inference-steps")])
def test_steps_that_do_not_exist_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        request(**change)


@pytest.mark.parametrize(("content", "message"), [
    (None, "cannot read prompts"), (b"", "no prompts"), (b" \n\t\n", "no prompts"),
    (b"\xff\xfe", "cannot read prompts"), (b"a" * (1 << 20) + b"b", "too many prompts"),
    ("é".encode() * (1 << 19) + b"b\nlast\n", "too many prompts"), (b"a\0b", "control characters")])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "p").write_bytes(content)
    with pytest.raises(TraceError, match=message):
        read_prompts(tmp_path / "p")


@pytest.mark.parametrize(("change", "message"), [
    (("--steps", "1,x"), "--steps: not a list of numbers; got 1,x"), (("--steps", ""), "--steps: not a list"),
    (("--steps", "1,9"), "--steps: steps out of range; got 1,9"),
    (("--size", "0"), "--size: size does not fit the model"),
    (("--size", "36"), "--size: size does not fit the model; got 36x36; expected multiples of 8 pixels"),
    (("--size", "32x"), "--size: not a size"), (("--size", "32x32x32"), "--size: not a size"),
    (("--layers", "nothing"), "no linear layer matches"), (("--layers", "("), "not a regular expression"),
    (("--seed", str(1 << 70)), "--seed: seed out of range"), (("--seed", "-1"), "--seed: seed out of range"),
    (("--guidance", "nan"), "--guidance: guidance out of range"), (("--guidance", "-1"), "--guidance: guidance"),
    (("--sequences", "2"), "--sequences: option of the other kind of models"),
    (("--prompts", "/nothing"), "cannot read prompts"), (("--model", "./nothing"), "no such folder")])
def test_a_bad_option_is_refused_in_one_line(tmp_path: Path, pixart: Path, change: tuple[str, ...], message: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, *words(pixart, tmp_path / "t", *change))
    assert list(tmp_path.iterdir()) == []


def test_an_image_option_does_not_go_with_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seed: option of the other kind of models; expected --prompts with it" in refused(
        capsys, "--model", "m", "--text", "t", "--out", str(tmp_path / "t"), "--seed", "1")


def spoil(folder: Path, kind: str) -> None:
    """Make a good pipeline a bad one."""
    from safetensors.torch import load_file, save_file

    index, weights = folder / "model_index.json", folder / "transformer" / "diffusion_pytorch_model.safetensors"
    if kind == "another pipeline":
        index.write_text(index.read_text().replace("PixArtSigmaPipeline", "StableDiffusionPipeline"))
    elif kind == "another text encoder":
        index.write_text(index.read_text().replace("T5EncoderModel", "CLIPTextModel"))
    elif kind == "rubbish":
        index.write_text("[")
    elif kind == "no index":
        index.unlink()
    elif kind == "pickled":
        weights.rename(weights.with_suffix(".bin"))
    elif kind == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif kind == "no tokenizer":
        shutil.rmtree(folder / "tokenizer")
    else:
        tensors = load_file(weights)
        if kind == "incomplete":
            del tensors["proj_out.weight"]
        elif kind == "overflows":
            tensors["transformer_blocks.1.ff.net.0.proj.weight"][:] = 3e38
        save_file(tensors, weights, metadata={"format": "pt"})


@pytest.mark.parametrize(("kind", "message"), [
    ("another pipeline", "not a pipeline of a known family; got StableDiffusionPipeline; expected PixArtSigmaPipeline"),
    ("another text encoder", "text_encoder: not a pipeline of a known family"), ("rubbish", "not JSON"),
    ("no index", "not a text-to-image pipeline; got no model_index.json"), ("cut", "transformer: cannot load model"),
    ("pickled", "transformer: pickled checkpoint refused"), ("no tokenizer", "tokenizer: no tokenizer"),
    ("incomplete", "transformer: checkpoint has missing keys; got proj_out.weight"),
    ("overflows", "layer transformer_blocks.1.ff.net.2@prompt1.step1: the model meets NaN or infinite activations|"
                  "layer transformer_blocks.1.ff.net.0.proj@prompt1.step1: the model meets NaN")])
def test_a_bad_pipeline_is_refused_in_one_line(tmp_path: Path, pixart: Path, kind: str, message: str,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(pixart, tmp_path / "pixart")
    spoil(folder, kind)
    line = refused(capsys, *words(folder, tmp_path / "t"))
    assert any(part in line for part in message.split("|")), line
    assert [path.name for path in tmp_path.iterdir()] == ["pixart"]


def test_each_kind_of_models_names_the_others_option(tmp_path: Path, pixart: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    assert "a language model takes --text" in refused(
        capsys, *words(pixart, tmp_path / "t", "--model", str(LLAMA)))
    assert "an image model takes --prompts" in refused(
        capsys, "--model", str(pixart), "--text", str(LLAMA / "heldout.txt"), "--out", str(tmp_path / "t"))


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, pixart: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--device: no CUDA device; got torch" in refused(capsys, *words(pixart, tmp_path / "t", "--device", "cuda"))


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path, pixart: Path, capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    line = refused(capsys, *words(pixart, tmp_path / "t", "--model", "PixArt-alpha/PixArt-Sigma-XL-2-512-MS"))
    assert "the hub does not give it; got OSError: no route; expected a local folder" in line


def test_weights_in_another_precision_are_not_fetched() -> None:
    files = ["transformer/diffusion_pytorch_model.safetensors", "transformer/diffusion_pytorch_model.fp16.safetensors",
             "text_encoder/model.bf16-00001-of-00002.safetensors", "text_encoder/model.bf16-00002-of-00002.safetensors",
             "text_encoder/model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors", "model_index.json"]
    assert superfluous(files) == [files[1], files[4]]
