"""Job values that fit no layer are refused by every command, and what only some layers can take is said once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.formats.trace import TraceWriter

ROOT = Path(__file__).resolve().parents[2]
LLAMA = ROOT / "models" / "llama_small"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Layers of 40, 12 and 1 tokens (the first has 3 outliers), kinds q, text and time."""
    rng = np.random.default_rng(1)
    path = tmp_path / "mixed.safetensors"
    with TraceWriter(path, {"model": "toy"}) as writer:
        for name, tokens, outliers in (("q", 40, (0, 1, 7)), ("text", 12, ()), ("time", 1, ())):
            writer.add_input(name, rng.standard_normal((tokens, 32)), "float32")
            writer.add_layer(name=name, kind=name, input_key=name, weight=rng.standard_normal((8, 32)),
                             outliers=outliers, transform=name == "q")
    return path


def configured(folder: Path, text: str) -> str:
    path = folder / "npu.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    said = capsys.readouterr()
    assert not said.out and len(said.err.splitlines()) == 1
    return said.err


@pytest.mark.parametrize("command", ["simulate {trace}", "simulate --shape 40x32x8", "program {trace} --out {out}",
                                     "widths {trace}", "ablate {trace}", "tune {trace} --out {out}"])
def test_an_n_hi_beyond_the_tokens_of_every_layer_is_refused(command: str, mixed: Path, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    words = command.format(trace=mixed, out=tmp_path / "out").split()
    most = 20 if words[0] == "tune" else 40  # tune measures on one half of the tokens
    said = refusal(capsys, *words, "--config", configured(tmp_path, "job: {n_hi: 41}"))
    assert f"job.n_hi: impossible value; got 41; expected at most {most}, the tokens of the longest layer" in said
    assert not (tmp_path / "out").exists()
    for fits in ("20", "1/1", "auto"):
        NpuConfig.load(configured(tmp_path, f"job: {{n_hi: {fits}}}")).check_n_hi([("q", most), ("time", 1)])


def test_the_number_must_fit_a_layer_that_takes_it() -> None:
    """A kind's own job is not saved by the longer layers of others, nor the common one by a kind's."""
    config = NpuConfig.from_dict({"job": {"n_hi": 12}, "kinds": {"time": {"n_hi": 5}}})
    config.check_n_hi([("q", 40), ("time", 5)])
    config.check_n_hi([("q", 40)])
    with pytest.raises(ConfigError, match=r"kinds\.time\.n_hi.*got 5; expected at most 1"):
        config.check_n_hi([("q", 40), ("time", 1)])
    with pytest.raises(ConfigError, match=r"job\.n_hi.*got 12; expected at most 11"):
        config.check_n_hi([("text", 11), ("time", 40)])


def test_layers_that_are_too_short_are_said_in_one_line_and_reported_with_what_they_ran_with(
        mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    assert main(["simulate", str(mixed), "--config", configured(tmp_path, "job: {n_hi: 20}"), "--json", str(out)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "n_hi" in line]
    assert lines == ["* 2 layers have fewer tokens than n_hi, the worst time (first_n): n_hi = 20 is beyond the "
                     "tokens: all of them take 8 bits"]
    layers = json.loads(out.read_text())["layers"]
    assert {name: layers[name]["stamp"]["n_hi"] for name in layers} == {"q": 20, "text": 12, "time": 1}
    assert not any(notice["kind"] == "n_hi" for layer in layers.values() for scheme in ("a8", "a4")
                   for notice in layer[scheme]["warnings"]), "these schemes name no number"


@pytest.mark.trace
def test_a_running_model_refuses_an_n_hi_beyond_its_windows(tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    run = ["eval", "--model", str(LLAMA), "--text", str(LLAMA / "heldout.txt"), "--length", "32", "--sequences", "1"]
    config = configured(tmp_path, "job: {n_hi: 33}")
    assert "job.n_hi: impossible value; got 33; expected at most 32" in refusal(capsys, *run, "--config", config)
    assert "got 33; expected 0…32" in refusal(capsys, *run, "--kv", "33")


def test_scale_groups_need_hardware_with_such_blocks(mixed: Path, tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    def run(text: str) -> tuple[str, ...]:
        return ("simulate", str(mixed), "--schemes", "stamp", "--config", configured(tmp_path, text))

    none = refusal(capsys, *run("job: {group: 16}"))
    assert "job.group: impossible value; got 16; expected null: this hardware has no blocks (hw.block)" in none
    other = refusal(capsys, *run("{hw: {block: 32, lanes: 8}, job: {group: 16}}"))
    assert "job.group: impossible value; got 16; expected null or hw.block = 32" in other
    assert "hw.block: impossible value; got 24; expected a multiple of lanes = 16" in refusal(
        capsys, *run("hw: {block: 24}"))
    assert main([*run("job: {group: 32}")]) == 0  # the whole token
    assert main([*run("{hw: {block: 16}, job: {group: 16}}")]) == 0
