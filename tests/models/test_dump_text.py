"""Dumps of tiny Qwens equal what independent hooks see, and a dump of a language model that is interrupted goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.load.hub import fingerprint
from stamp_hw.formats.trace import Trace
from tests.support.dump_cases import QWENS, TEXT, command
from tests.support.image_models import interrupt

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]

LAYERS = 15  # 2 blocks of 7, and the output layer


def dump(folder: Path, out: Path, *more: str) -> Path:
    assert command("dump", "--model", str(folder), "--text", str(folder / "text.txt"), "--out", str(out), "--length",
                   "33", *more) == 0
    return out


@pytest.mark.parametrize("name", QWENS)
def test_captures_of_a_qwen_equal_what_an_independent_hook_sees(tmp_path: Path, qwens: dict[str, Path],
                                                                name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(qwens[name]).eval()
    seen: dict[str, Any] = {}
    for layer, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, args, y, layer=layer: seen.update(
                {layer: (args[0][0].numpy().copy(), y[0].numpy().copy())}))
    with torch.no_grad():
        model(input_ids=torch.tensor([AutoTokenizer.from_pretrained(qwens[name])(TEXT).input_ids[:33]]))
    with Trace.open(dump(qwens[name], tmp_path / "t")) as trace:
        assert set(trace.layer_names) == set(seen) and len(trace) == LAYERS
        assert {trace.entry(layer).kind for layer in trace.layer_names} == {
            *(f"{which}_proj" for which in ("q", "k", "v", "o", "gate", "up", "down")), "lm_head"}
        for layer in trace:
            x, y = seen[layer.name]
            assert (layer.x == x).all() and layer.transform and layer.grid is None
            assert (layer.bias is not None) == (name == "Qwen2" and layer.kind in ("q_proj", "k_proj", "v_proj"))
            product = layer.x @ layer.weight.T + (0 if layer.bias is None else layer.bias)
            assert np.abs(product - y).max() <= 1e-5 * np.abs(y).max()
        assert trace.metadata["dtype"] == "float32"  # as it lies on the disk
        assert trace.linear_layers == LAYERS
    with Trace.open(dump(qwens[name], tmp_path / "part", "--layers", "q_proj")) as trace:
        assert len(trace) < trace.linear_layers == LAYERS, "of the model, not of the trace"


def test_an_interrupted_dump_of_a_language_model_goes_on(tmp_path: Path, qwens: dict[str, Path],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    folder, more = qwens["Qwen3"], ("--sequences", "3", "--sinks", "1")
    expected = dump(folder, tmp_path / "whole", *more).read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, 2 * LAYERS + 4)  # in the third sequence
        with pytest.raises(KeyboardInterrupt):
            dump(folder, tmp_path / "t", *more)
    assert len(list((tmp_path / "t.partial").glob("*.part"))) == 2
    seen = interrupt(monkeypatch, 10**6)
    assert dump(folder, tmp_path / "t", *more).read_bytes() == expected and len(seen) == 2 * LAYERS
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "t"}


def test_a_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    one = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == one
    (tmp_path / "t.partial").mkdir()
    (tmp_path / "t.partial" / "settings.json").touch()
    assert fingerprint(tmp_path) == one
    (tmp_path / "a").write_text("12")
    assert fingerprint(tmp_path) != one
