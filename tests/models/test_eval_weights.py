"""`stamp-hw eval` with 4-bit weights in groups: nearest, by GPTQ, from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stamp_hw.weights import quantize_weights
from tests.support.eval_cases import LLAMA, evaluated, llama, refused

pytest.importorskip("torch")
pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]


@pytest.mark.long
def test_groups_are_better_than_none_and_gptq_is_better_than_the_nearest(tmp_path: Path,
                                                                         capsys: pytest.CaptureFixture[str]) -> None:
    run = llama("--schemes", "a8", "--layers", r"layers\.1\.", "--length", "128", "--calibration",
                str(LLAMA / "calibration.txt"), windows=1)
    kl = {(how, group): evaluated(tmp_path, *run, "--weights", how, "--job", f"weight_group={group}")["weights"]["kl"]
          for how, group in (("nearest", "null"), ("nearest", "32"), ("gptq", "32"))}
    assert kl["nearest", "32"] < 0.6 * kl["nearest", "null"]
    assert kl["gptq", "32"] < 0.9 * kl["nearest", "32"]
    assert "Weights: 4 bits in groups of 32, GPTQ" in capsys.readouterr().out


def test_ready_weights_in_groups_are_what_the_file_says(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from models.load.checkpoint import load

    name = "model.layers.2.mlp.down_proj"
    weight = load(str(LLAMA), "float32").model.get_submodule(name).weight.detach().numpy()
    nearest = quantize_weights(weight, 4, 64)
    assert nearest.groups is not None
    path = tmp_path / "w.safetensors"
    run = llama("--schemes", "a8", "--layers", r"layers\.2\.", "--job", "weight_group=64", "--length", "64", windows=1)
    plain = evaluated(tmp_path, *run)
    tensors = {"q": nearest.groups.nibbles(nearest.codes), "u": nearest.groups.u, "z": nearest.groups.z,
               "scale": nearest.scale}
    save_file({f"{name}.{part}": np.ascontiguousarray(value) for part, value in tensors.items()}, path)
    assert evaluated(tmp_path, *run, "--weights", str(path)) == plain
    save_file({f"{name}.{part}": np.ascontiguousarray(value) for part, value in (tensors | {
        "q": tensors["q"] ^ np.uint8(1)}).items()}, path)
    assert evaluated(tmp_path, *run, "--weights", str(path)) != plain


def test_ready_codes_behind_a_hadamard_unit_are_of_folded_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                                  ) -> None:
    """192 channels fill 256: the nearest codes of the folded weights are what the layer would have made itself."""
    from safetensors.numpy import save_file

    from models.load.checkpoint import load
    from stamp_hw.hadamard import fold

    name, path = "model.layers.2.mlp.gate_proj", tmp_path / "w.safetensors"
    weight = load(str(LLAMA), "float32").model.get_submodule(name).weight.detach().numpy()
    run = llama("--schemes", "a8", "--layers", r"layers\.2\.", "--hw", "hadamard=256", "--length", "64", windows=1)
    plain = evaluated(tmp_path, *run)
    folded = quantize_weights(fold(weight, 256), 4)
    assert folded.codes.shape == (len(weight), 256)
    save_file({f"{name}.codes": folded.codes, f"{name}.scale": folded.scale}, path)
    assert evaluated(tmp_path, *run, "--weights", str(path)) == plain
    save_file({f"{name}.codes": folded.codes[:, :192].copy(), f"{name}.scale": folded.scale}, path)
    capsys.readouterr()
    assert f"expected int8[{len(weight)}, 256]" in refused(capsys, *run, "--weights", str(path))


@pytest.mark.long
def test_gptq_behind_a_hadamard_unit_is_better_than_the_nearest_there(tmp_path: Path) -> None:
    run = llama("--schemes", "a8", "--layers", r"layers\.1\.", "--hw", "hadamard=16", "--job", "weight_group=32",
                "--length", "128", "--calibration", str(LLAMA / "calibration.txt"), windows=1)
    nearest, gptq = (evaluated(tmp_path, *run, "--weights", how)["weights"]["kl"] for how in ("nearest", "gptq"))
    assert gptq < 0.9 * nearest


def test_gptq_without_a_text_to_fit_to_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing to fit weights to" in refused(capsys, *llama("--weights", "gptq"))
