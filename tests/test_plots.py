"""The pictures of `stamp-hw simulate`: written for every report, with labels that tell layers apart."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulate_cases import ar1, run, write_one

from sim import plots, tables


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


def test_the_legend_of_the_cycles_names_every_part_that_is_drawn(toy_report: dict[str, Any]) -> None:
    axis = plots.energy_and_cycles(toy_report).axes[1]
    drawn = {patch.get_facecolor() for patch in axis.patches if patch.get_extents().height > 0}
    legend = axis.get_legend()
    assert legend is not None and {patch.get_facecolor() for patch in legend.get_patches()} >= drawn
