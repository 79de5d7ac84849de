"""The pictures of `stamp-hw simulate`: written for every report, with labels that tell layers apart."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.studies import plots, tables
from stamp_hw.formats.trace import Trace
from tests.support.simulate_cases import ar1, run, write_one

ROOT = Path(__file__).resolve().parents[2]


def test_plots_are_written_for_few_and_many_layers_and_long_names(toy: Path, toy_report: dict[str, Any],
                                                                  tmp_path: Path) -> None:
    assert run(toy, "--plots", tmp_path / "new" / "plots", "--schemes", "a4,first_n,stamp") == 0
    found = sorted(path.name for path in (tmp_path / "new" / "plots").iterdir())
    assert found == ["energy_and_cycles.png", "sqnr_by_layer.png", "token_energy.png"]
    assert all((tmp_path / "new" / "plots" / name).read_bytes().startswith(b"\x89PNG") for name in found)
    figures = next(iter(toy_report["layers"].values()))
    for count in (1, 48, 224):
        layers = {f"model.layers.{i}.a_very_long_name_{'x' * 60}.q_proj": figures for i in range(count)}
        many = {**toy_report, "layers": layers}
        plots.write(many, {}, tmp_path / str(count))
        assert (tmp_path / str(count) / "sqnr_by_layer.png").stat().st_size > 10_000


@pytest.mark.parametrize(("name", "x"), [
    (r"$\frac{1$", ar1(np.random.default_rng(2), 16, 8)), ("层.注意力", ar1(np.random.default_rng(2), 16, 8)),
    ("one_token", np.ones((1, 8))), ("zeros", np.zeros((16, 8)))], ids=["math", "cjk", "one_token", "zeros"])
def test_strange_names_and_layers_are_plotted_without_a_word(name: str, x: np.ndarray, tmp_path: Path) -> None:
    trace = write_one(tmp_path / "t.safetensors", x, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(trace, "--plots", tmp_path / "plots") == 0
    assert len(list((tmp_path / "plots").iterdir())) == 3


def test_names_that_differ_keep_labels_that_differ() -> None:
    for names in ([f"model.layers.{i}.{'x' * 60}.q_proj" for i in range(12)],
                  [f"{'x' * 60}.{i}.{'y' * 60}" for i in range(12)]):
        short = tables.labels(names, 34)
        assert len(set(short)) == len(names) and max(map(len, short)) <= 34


PARTS = ("attn1.to_q", "attn1.to_k", "attn1.to_out.0", "attn2.to_q", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2")


@pytest.mark.parametrize("origins", [["@prompt1.step10"], ["@prompt1.step1", "@prompt2.step1", "@prompt2.step9"], [""]])
def test_a_label_says_which_layer_it_is(origins: list[str]) -> None:
    """Not twelve times the beginning and the end that all names share, with a number in front."""
    names = [f"transformer_blocks.{block}.{part}{origin}" for block in (1, 14) for part in PARTS for origin in origins]
    short = tables.labels([*names, f"proj_out{origins[0]}"], 34)
    assert len(set(short)) == len(names) + 1 and max(map(len, short)) <= 34
    for name, label in zip(names, short, strict=False):
        block, part, origin = name.split(".", 2)[1], name.split(".", 2)[2].partition("@")[0], name.partition("@")[2]
        assert label.startswith(f"{block}.{part}") and (len(origins) == 1 or label.endswith(f"@{origin}"))
    assert tables.labels(names) == names, "names that fit stay as they are"


def test_the_pictures_of_the_shipped_traces_name_every_layer() -> None:
    for trace in ("llama_small", "pixart_small"):
        with Trace.open(ROOT / "models" / "traces" / f"{trace}.safetensors") as opened:
            names = opened.layer_names
        short = tables.labels(names, 34)
        assert len(set(short)) == len(names)
        for name, label in zip(names, short, strict=True):
            layer = name.partition("@")[0].removeprefix("model.layers.").removeprefix("transformer_blocks.")
            assert label == layer or "…" in label and label.split("…")[0] in layer and label.split("…")[1] in layer


def test_the_legend_of_the_cycles_names_every_part_that_is_drawn(toy_report: dict[str, Any]) -> None:
    axis = plots.energy_and_cycles(toy_report).axes[1]
    drawn = {patch.get_facecolor() for patch in axis.patches if patch.get_extents().height > 0}
    legend = axis.get_legend()
    assert legend is not None and {patch.get_facecolor() for patch in legend.get_patches()} >= drawn
