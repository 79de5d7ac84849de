"""Dumps of a tiny Llama equal what independent hooks see, and what cannot be dumped is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.train.text import END_OF_TEXT
from stamp_hw.errors import OutputError, StampError, ToolError, TraceError
from stamp_hw.formats.trace import FULL_SCALE, Trace
from tests.support.dump_cases import TEXT, command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """A random LlamaForCausalLM of odd sizes with attention biases, its tokenizer and a text, in one folder."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from models.train.llama import train_tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(int(os.environ["STAMP_SEED"]))
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=280, hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, max_position_embeddings=40, attention_bias=True, tie_word_embeddings=False,
        bos_token_id=0, eos_token_id=0, initializer_range=0.3))
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(TEXT, 280), bos_token=END_OF_TEXT,
                            eos_token=END_OF_TEXT).save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


def dump_tiny(tiny: Path, out: Path, *words: str) -> Path:
    assert command("dump", "--model", str(tiny), "--text", str(tiny / "text.txt"), "--out", str(out), "--length", "33",
                   *words) == 0
    return out


def independent(tiny: Path, dtype: str) -> tuple[np.ndarray, dict[str, list[tuple[Any, Any]]]]:
    """Three sequences run by other means than ours: one list of (input, output) a layer, float32."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny, dtype=getattr(torch, dtype)).eval()
    tokens = np.array(AutoTokenizer.from_pretrained(tiny)(TEXT).input_ids[: 3 * 33]).reshape(3, 33)
    seen: dict[str, list[tuple[Any, Any]]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, args, name=name: seen.setdefault(name, []).append([args[0][0].float().numpy().copy()]))
            module.register_forward_hook(
                lambda _, args, y, name=name: seen[name][-1].append(y[0].float().numpy().copy()))
    with torch.no_grad():
        for row in tokens:
            model(input_ids=torch.from_numpy(row)[None])
    return tokens, seen


# --- dump ------------------------------------------------------------------------------------------------------------

@pytest.mark.trace
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_captured_inputs_equal_what_an_independent_hook_sees(tmp_path: Path, tiny: Path, dtype: str) -> None:
    _, seen = independent(tiny, dtype)
    with Trace.open(dump_tiny(tiny, tmp_path / "t", "--dtype", dtype, "--sequences", "3")) as trace:
        assert sorted(trace.layer_names) == sorted(seen) and len(trace) == 15
        assert trace.calibration == "static: 3 sequences"
        for layer in trace:
            x, y = seen[layer.name][0]
            assert layer.x.shape == (33, x.shape[1]) and (layer.x == x).all()
            assert trace.tensor(trace.entry(layer.name).input).dtype == dtype
            assert layer.outliers == (0,)
            assert layer.s_x == max(float(np.abs(x[1:]).max()) for x, _ in seen[layer.name]) / FULL_SCALE
            assert layer.s_y == max(float(np.abs(y).max()) for _, y in seen[layer.name]) / FULL_SCALE
            assert (layer.bias is None) == ("self_attn" not in layer.name)
            product = layer.x @ layer.weight.T + (0 if layer.bias is None else layer.bias)
            step = 1e-6 if dtype == "float32" else 2**-8
            assert np.abs(product - y).max() <= 8 * step * np.abs(y).max()


@pytest.mark.trace
def test_an_input_is_stored_once_for_the_layers_that_share_it(tmp_path: Path, tiny: Path) -> None:
    with Trace.open(dump_tiny(tiny, tmp_path / "t")) as trace:
        inputs = {name.split(".", 2)[-1] if "layers" in name else name: trace.entry(name).input
                  for name in trace.layer_names if "layers.1" not in name}
        assert len({inputs[f"0.self_attn.{p}_proj"] for p in "qkv"}) == 1
        assert inputs["0.mlp.gate_proj"] == inputs["0.mlp.up_proj"]
        assert len(set(inputs.values())) == 5 and trace.calibration == "self"


@pytest.mark.trace
def test_two_dumps_have_the_same_bytes(tmp_path: Path, tiny: Path) -> None:
    one, two = (dump_tiny(tiny, tmp_path / name, "--sequences", "2") for name in "tu")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.trace
def test_outliers_take_no_part_in_the_input_scale(tmp_path: Path, tiny: Path) -> None:
    _, seen = independent(tiny, "float32")
    words = ("--dtype", "float32", "--sequences", "3", "--sinks", "2", "--layers", r"layers\.0\..*o_proj")
    with Trace.open(dump_tiny(tiny, tmp_path / "t", *words)) as trace:
        assert trace.layer_names == ("model.layers.0.self_attn.o_proj",)
        layer = trace.layer(trace.layer_names[0])
        assert layer.outliers == (0, 1)
        assert layer.s_x == max(float(np.abs(x[2:]).max()) for x, _ in seen[layer.name]) / FULL_SCALE


@pytest.mark.trace
def test_progress_is_shown_on_a_terminal_only(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    dump_tiny(tiny, tmp_path / "t")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    dump_tiny(tiny, tmp_path / "t", "--sequences", "2")
    shown = capsys.readouterr().err
    assert "calibrating 2/2, layer 15/15" in shown and "capturing 15/15" in shown and shown.endswith("\x1b[K")


# --- refusals --------------------------------------------------------------------------------------------------------

def copy(tiny: Path, to: Path, *left_out: str) -> Path:
    to.mkdir()
    for path in tiny.iterdir():
        if path.name not in left_out:
            (to / path.name).write_bytes(path.read_bytes())
    return to


def spoil(folder: Path, kind: str) -> None:
    """Make a good checkpoint a bad one."""
    import torch
    from safetensors.torch import load_file, save_file

    weights, config = folder / "model.safetensors", folder / "config.json"
    if kind == "pickled":
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    elif kind == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif kind == "incomplete":
        tensors = load_file(weights)
        del tensors["model.layers.1.mlp.up_proj.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})
    elif kind == "another shape":
        config.write_text(config.read_text().replace('"intermediate_size": 50', '"intermediate_size": 51'))
    elif kind == "another model":
        config.write_text(config.read_text().replace('"llama"', '"gpt2"'))
    elif kind == "rubbish for a configuration":
        config.write_text("{")
    else:
        (folder / kind.removeprefix("no ")).unlink()


@pytest.mark.trace
@pytest.mark.parametrize(("kind", "message"), [
    ("pickled", "pickled checkpoint refused; got pytorch_model.bin"), ("cut", "cannot load model"),
    ("incomplete", "missing keys; got model.layers.1.mlp.up_proj.weight"), ("another shape", "cannot load|mismatched"),
    ("another model", "not a causal language model that transformers knows; got model type gpt2, LlamaForC"),
    ("rubbish for a configuration", "cannot load"),
    ("no config.json", "cannot load"), ("no tokenizer.json", "cannot load"), ("no model.safetensors", "no checkpoint")])
def test_a_bad_checkpoint_is_refused_in_one_line(tmp_path: Path, tiny: Path, kind: str, message: str) -> None:
    folder = copy(tiny, tmp_path / "model")
    spoil(folder, kind)
    with pytest.raises(TraceError, match=message) as caught:
        dump_tiny(folder, tmp_path / "t")
    assert str(caught.value).isprintable() and not (tmp_path / "t").exists()


@pytest.mark.trace
@pytest.mark.parametrize(("words", "message"), [
    (("--layers", "("), "not a regular expression"), (("--layers", "conv"), "no linear layer matches"),
    (("--length", "41"), "length out of range"), (("--length", "0"), "length out of range"),
    (("--sequences", "0"), "number of sequences"), (("--sequences", "10000"), "text is too short"),
    (("--outliers", "33"), "outliers are no tokens"), (("--outliers", "7,3"), "outliers are no tokens"),
    (("--sinks", "3"), "too many outliers; got 3; expected at most 2 of 33")])
def test_a_bad_option_is_refused_in_one_line(tmp_path: Path, tiny: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        dump_tiny(tiny, tmp_path / "t", *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.trace
@pytest.mark.parametrize("kind", ["missing", "directory", "binary"])
def test_a_bad_text_is_refused_in_one_line(tmp_path: Path, tiny: Path, kind: str) -> None:
    text = tmp_path / "text"
    if kind == "directory":
        text.mkdir()
    elif kind == "binary":
        text.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="cannot read text"):
        command("dump", "--model", str(tiny), "--text", str(text), "--out", str(tmp_path / "t"),
                "--length", "20")


@pytest.mark.trace
def test_a_model_that_overflows_is_refused_and_leaves_nothing(tmp_path: Path, tiny: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(tiny, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][:] = 3e38
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for words in ((), ("--sequences", "2")):
        with pytest.raises(TraceError, match="NaN or infinite|NaN, infinite"):
            dump_tiny(folder, tmp_path / "t", "--dtype", "float32", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.trace
def test_an_output_below_a_regular_file_is_refused(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        dump_tiny(tiny, tmp_path / "file" / "t")


@pytest.mark.trace
def test_a_hub_id_without_network_is_one_line_within_seconds(tmp_path: Path, tiny: Path) -> None:
    """A closed port stands for the missing network; the cache is an empty folder."""
    script = ("import sys; from tests.support.dump_cases import command; "
              "from stamp_hw.errors import TraceError\n"
              "try: command(*sys.argv[1:])\nexcept TraceError as error: print(error)")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, "dump", "--model", "meta-llama/Llama-3.2-1B", "--text", str(tiny / "text.txt"),
         "--out", str(tmp_path / "t")], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub"),
             "PYTHONPATH": str(ROOT)})
    assert done.stdout.count("\n") == 1 and done.stderr == ""
    assert "meta-llama/Llama-3.2-1B: no such folder, and the hub does not give it" in done.stdout
    assert time.monotonic() - started < 60 and not (tmp_path / "t").exists()


@pytest.mark.trace
@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c", "text.txt"])
def test_a_path_that_is_no_folder_never_asks_the_hub(tiny: Path, name: str) -> None:
    with pytest.raises(TraceError, match="no such folder|not a model"):
        command("dump", "--model", str(tiny / name) if name == "text.txt" else name, "--text", "t", "--out", "o")


def test_without_torch_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ToolError, match="make venv-trace") as caught:
        command("dump", "--model", "m", "--text", "t", "--out", "o")
    assert isinstance(caught.value, StampError)
