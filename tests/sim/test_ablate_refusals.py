"""`stamp-hw ablate` refuses what it cannot do in one line, before it writes anything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.commands.ablate import levels
from stamp_hw import shuffle
from stamp_hw.cli.main import main
from stamp_hw.errors import OutputError, StampError
from stamp_hw.formats.trace import Trace, TraceWriter
from tests.support.ablate_cases import LAYERS, run, write_grid
from tests.support.simulate_cases import ar1, write_one


def test_wrong_input_is_refused_in_one_line_and_nothing_is_written(toy: Path, toy_fits: list[Path],
                                                                   tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "short.safetensors").write_bytes(toy_fits[0].read_bytes()[:-1000])
    (tmp_path / "sinks.yaml").write_text("job: {outliers: 0}")
    (tmp_path / "few.yaml").write_text("hw: {max_tokens: 128, act_slots: 64}")
    grid = write_grid(tmp_path / "grid.safetensors", 3)
    wide = write_grid(tmp_path / "wide.safetensors", 4, (8, 32))
    rng = np.random.default_rng(0)
    with TraceWriter(tmp_path / "mixed.safetensors", {}) as writer:
        for name, shape in (("flat", None), ("picture", (4, 4))):
            writer.add_input(name, ar1(rng, 16, 4), "float32")
            writer.add_layer(name=name, kind="q", input_key=name, weight=np.ones((2, 4)), grid=shape)
    mixed = tmp_path / "mixed.safetensors"
    plain = write_one(tmp_path / "plain.safetensors", ar1(rng, 16, 4), transform=False)
    other = write_one(tmp_path / "other.safetensors", ar1(rng, 256, 96), LAYERS[0])
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out.json"
    for argv, said in (
        ((tmp_path / "missing.safetensors", "--json", out), "missing.safetensors"),
        ((toy, "--json", out, "--fit", tmp_path / "missing.safetensors"), "missing.safetensors"),
        ((toy, "--json", out, "--fit", tmp_path / "short.safetensors"), "short.safetensors"),
        ((toy, "--json", out, "--fit", grid), "no fit sequence of this layer"),
        ((toy, "--json", out, "--fit", other, "--layers", "0.q"), "weights of another model"),
        ((grid, "--json", out, "--fit", wide), "shape differs"),
        ((mixed, "--json", out), "grids and sequences in one table"),
        ((plain, "--json", out), "no layer to transform"),
        ((grid, "--json", out, "--config", tmp_path / "sinks.yaml"), "outliers do not fit"),
        ((toy, "--json", out, "--config", tmp_path / "few.yaml"), "max_tokens"),
        ((toy, "--json", out, "--layers", "nothing_like_it"), "no layer matches"),
        ((toy, "--json", toy), "the trace"),
        ((toy, "--json", out, "--fit", toy_fits[0], "--csv", toy_fits[0]), "--fit, number 1"),
        ((toy, "--plots", tmp_path / "file"), "no folder"),
        ((toy, "--json", out, "--csv", out), "--json"),
    ):
        with pytest.raises(StampError) as caught:
            run(*argv)
        assert said in str(caught.value) and "\n" not in str(caught.value), (argv, str(caught.value))
        assert sorted(tmp_path.rglob("*")) == before, argv
    for text in ("", "0", "9", "1,1", "a", "1,,2", "-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            levels(text)
    assert levels("1, 3,8") == (1, 3, 8)


def test_an_unwritable_output_is_refused_before_the_trace_is_opened(toy: Path, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Trace, "open", lambda path: pytest.fail("the trace was opened first"))
    with pytest.raises(OutputError):
        run(toy, "--csv", tmp_path / "file" / "t.csv")


def test_a_layer_that_fails_midway_leaves_no_file_and_is_named(toy: Path, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    original = shuffle.permutation

    def broken(name: str, *more: Any) -> np.ndarray:
        if name == LAYERS[2]:
            raise StampError("broken", where="here")
        return original(name, *more)

    monkeypatch.setattr(shuffle, "permutation", broken)
    assert main(["ablate", str(toy), "--json", str(tmp_path / "a.json"), "--plots", str(tmp_path / "plots")]) == 2
    assert list(tmp_path.iterdir()) == []
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(f"stamp-hw: {toy}, layer {LAYERS[2]}, here: broken")
    assert captured.err.count("\n") == 1
