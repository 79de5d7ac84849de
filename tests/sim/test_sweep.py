"""`stamp-hw sweep`: every point has the figures that `simulate` gives it, in the order of its number, and the fronts
hold what no other point is better than."""

from __future__ import annotations

import csv
import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost import energy, layer_cost
from sim.studies import accuracy
from sim.sweep import axes, figures, plot, points, results, spec, tables
from sim.sweep.front import front
from sim.sweep.points import configured
from sim.task import Shape
from sim.workload import find, report
from sim.workload.run import Run
from stamp_hw import rooms, schemes
from stamp_hw.cli.main import main
from stamp_hw.cli.progress import lasting
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.formats.yaml_file import load_yaml, parse_yaml
from tests.support.refusals import ROOT
from tests.support.sweep_cases import swept, write

SET = energy.load("horowitz45")
PAGE = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sweep")
    return swept(write(folder), folder / "out")


def test_points_are_every_combination_and_the_last_axis_is_the_fastest(small: list[dict[str, Any]]) -> None:
    wanted = [{"hw.rows": size, "hw.cols": size, "hw.act_slots": slots, "workload.k": k}
              for size, slots, k in product((4, 8, 16), (16, 32, 64, 128), (64, 96, 200))]
    assert [point["values"] for point in small] == wanted
    assert [point["point"] for point in small] == list(range(36))


def test_a_layers_figures_are_those_of_the_cycle_and_energy_models(small: list[dict[str, Any]]) -> None:
    costed = 0
    for point in small:
        values = point["values"]
        config = NpuConfig.from_dict({"hw": {"rows": values["hw.rows"], "cols": values["hw.cols"], "lanes": 8,
                                             "max_k": 128, "max_tokens": 256, "act_slots": values["hw.act_slots"]}})
        shape = Shape(name="", tokens=256, k=values["workload.k"], n=40)
        for scheme, found in point["schemes"].items():
            try:
                limit = accuracy.token_limit(shape, config)
                cost = layer_cost.cost(shape, schemes.configure(scheme, config), SET, limit)
            except StampError as error:
                # The workload's job names its operation in front.
                assert str(error) in found["error"] and set(found) == {"error"}
                continue
            costed += 1
            assert found["cycles"] == cost.cycles.total and found["bottleneck"] == cost.cycles.bottleneck
            assert found["dram_bytes"] == cost.dram.total and found["macs"] == cost.macs == 256 * 40 * shape.k
            assert found["energy_fj"] == sum(round(1000 * event.energy_pj) for events in cost.events.values()
                                             for event in events.values())
            assert found["pes"] == values["hw.rows"] ** 2
            assert found["activation_buffer_bytes"] == 2 * values["hw.act_slots"] * 128
    assert 30 < costed < 72


def test_a_models_figures_are_those_of_its_report(tmp_path: Path) -> None:
    text = """
workload: {model: smollm2-135m, decode: 3, vector_lanes: 16}
schemes: [a8, stamp]
axes: {workload.prefill: [0, 64], workload.batch: [1, 2], job.n_hi: [1/16, 4]}
objectives: [decode.units_per_s]
"""
    found = swept(write(tmp_path, text), tmp_path / "out")
    assert len(found) == 8
    for point in found:
        prefill, batch, n_hi = (point["values"][name] for name in ("workload.prefill", "workload.batch", "job.n_hi"))
        workload = find.workload("smollm2-135m", find.Ask(prefill=prefill, decode=3, batch=batch))
        wanted = report.document(Run(workload, NpuConfig().with_job(n_hi=n_hi), SET, 16), ("a8", "stamp"), SET, "")
        for scheme, found_figures in point["schemes"].items():
            whole = wanted["schemes"][scheme]
            for name, value in found_figures.items():
                phase, dot, rate = name.rpartition(".")
                if dot:
                    assert whole["phases"][phase][rate] == value
                elif name not in ("pes", "activation_buffer_bytes"):
                    assert whole["total"][name] == value
            assert ("prefill.units_per_s" in found_figures) == (prefill > 0)


def test_an_axis_may_turn_prefetch_off(tmp_path: Path) -> None:
    text = "workload: {model: smollm2-135m, prefill: 16, decode: 2}\naxes: {workload.prefetch: [true, false]}\n"
    found = [point["schemes"]["stamp"] for point in swept(write(tmp_path, text), tmp_path / "out")]
    workload = find.workload("smollm2-135m", find.Ask(prefill=16, decode=2))
    wanted = [report.of_scheme(Run(workload, NpuConfig(), SET, None, prefetch=prefetch), "stamp")["total"]
              for prefetch in (True, False)]
    assert [point["cycles"] for point in found] == [total["cycles"] for total in wanted]
    assert wanted[0]["cycles"] + wanted[0]["prefetch_saved_cycles"] == wanted[1]["cycles"] > wanted[0]["cycles"]


@pytest.mark.parametrize("word", ["memory=null", "memory=LPDDR5", "memory={kind: HBM2, pj_per_bit: 9}"])
def test_a_memory_of_a_point_has_the_time_and_the_energy_that_simulate_gives_it(word: str, tmp_path: Path) -> None:
    assert main(["simulate", "--model", "smollm2-135m", "--prefill", "32", "--decode", "0", "--schemes", "stamp",
                 "--hw", word, "--json", str(tmp_path / "json")]) == 0
    wanted = json.loads((tmp_path / "json").read_text())["schemes"]["stamp"]["total"]
    text = f"""
workload: {{model: smollm2-135m, prefill: 32, decode: 0}}
axes: {{hw.{word.replace("=", ": [", 1)}]}}
"""
    (found,) = swept(write(tmp_path, text), tmp_path / "out")
    for name in ("cycles", "energy_fj", "dram_bytes", "power_w", "bottleneck"):
        assert found["schemes"]["stamp"][name] == wanted[name]


def test_what_the_base_leaves_out_follows_from_a_points_own_values(tmp_path: Path) -> None:
    """The rescale lanes are an eighth of the columns, of the point's and not of the base's."""
    (tmp_path / "base.yaml").write_text("hw: {cols: 8}\nkinds: {q_proj: {n_hi: 0}}\n")
    sweep = spec.read(write(tmp_path, "base: base.yaml\nworkload: {tokens: 64, k: 64, n: 64}\n"
                                      "axes: {hw.cols: [8, 64], job.n_hi: [4]}\n"))
    found = [configured(sweep.base, values) for values in sweep.points()]
    assert [(config.hw.rescale_lanes, config.job.n_hi, dict(config.kinds)["q_proj"].n_hi) for config in found] == [
        (1, 4, 0), (8, 4, 0)]


def test_layers_add_up_and_paths_are_looked_for_beside_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text((Path(energy.__file__).parent / "energy_sets/horowitz45.yaml").read_text())
    text = "energy_set: own.yaml\nworkload: {{shapes: [{}]}}\naxes: {{hw.freq_hz: [1e+9]}}\n"
    each = [swept(write(tmp_path, text.format(shapes)), tmp_path / f"out{number}")[0]["schemes"]["stamp"]
            for number, shapes in enumerate(("64x96x40", '"8x8,96,40"', '64x96x40, "8x8,96,40"'))]
    for name in ("cycles", "energy_fj", "dram_bytes", "macs", "array_tiles"):
        assert each[2][name] == each[0][name] + each[1][name]
    assert each[0]["time_s"] == float(f"{each[0]['cycles'] / 1e9:.9g}")


@pytest.mark.parametrize(("data", "values"), [
    ({"from": 64, "to": 1024, "times": 2}, [64, 128, 256, 512, 1024]), ({"from": 1, "to": 8, "step": 3}, [1, 4, 7]),
    ({"from": 0.1, "to": 0.3, "step": 0.1}, [0.1, 0.2, 0.3]), ({"from": 5, "to": 5, "step": 1}, [5]),
    ({"from": 1.0, "to": 10, "times": 3}, [1.0, 3.0, 9.0]), ([8, "1/32", None, False, [0, 17]],
                                                             [8, "1/32", None, False, [0, 17]])])
def test_a_range_is_its_steps_up_to_its_end(data: Any, values: list[Any]) -> None:
    found = axes.axis("", "hw.x", data, random=False)
    assert isinstance(found, axes.Steps)
    assert [row[0] for row in found.rows] == values and list(map(type, values)) == [type(row[0]) for row in found.rows]


def test_samples_are_different_points_within_the_axes_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    text = """
workload: {{tokens: 64, k: 64, n: 64}}
together: [{{hw.rows: [8, 16], hw.cols: [4, 8]}}]
axes:
  hw.act_slots: {{from: 64, to: 80}}
  hw.freq_hz: {{from: 1e+8, to: 1e+9}}
  hw.dram_bytes_per_s: {{from: 1e+9, to: 1e+12, log: true}}
  hw.max_k: {{from: 64, to: 4096, log: true}}
samples: 300
seed: {seed}
"""
    first, again, other = (list(spec.read(write(tmp_path, text.format(seed=seed))).points()) for seed in (7, 7, 8))
    assert first == again != other and len({json.dumps(values) for values in first}) == 300
    assert {(values["hw.rows"], values["hw.cols"]) for values in first} == {(8, 4), (16, 8)}
    assert {values["hw.act_slots"] for values in first} == set(range(64, 81))
    assert all(1e8 <= values["hw.freq_hz"] <= 1e9 for values in first)
    rates = sorted(values["hw.dram_bytes_per_s"] for values in first)
    assert rates[0] >= 1e9 and rates[-1] <= 1e12 and 10**10 < rates[150] < 10**11, "as many in each decade"
    widths = [values["hw.max_k"] for values in first]
    assert {type(width) for width in widths} == {int} and min(widths) >= 64 and max(widths) <= 4096


def test_as_many_samples_as_there_are_points_are_all_of_them(tmp_path: Path) -> None:
    text = "workload: {tokens: 8, k: 8, n: 8}\naxes: {hw.rows: [1, 2, 3], hw.cols: {from: 1, to: 5}}\nsamples: 15\n"
    found = [tuple(values.values()) for values in spec.read(write(tmp_path, text)).points()]
    assert sorted(found) == list(product((1, 2, 3), range(1, 6)))


def test_a_front_is_what_no_point_dominates(rng: np.random.Generator) -> None:
    for _ in range(200):
        costs = rng.integers(0, 6, (int(rng.integers(1, 40)), int(rng.integers(1, 4)))).tolist()
        wanted = [place for place, own in enumerate(costs)
                  if not any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in costs)]
        assert front(costs) == wanted
    assert front([]) == []


def test_the_fronts_of_a_sweep_are_by_scheme_and_take_most_of_what_is_better(small: list[dict[str, Any]]) -> None:
    rows = results.rows(map(json.dumps, small))
    goals = ("utilization", "hw.act_slots")
    found = results.fronts(rows, goals)
    assert [one.scheme for one in found] == ["a4", "stamp"]
    for one in found:
        own = [row for row in rows if row.scheme == one.scheme and row.error is None]
        assert one.of == len(own) and one.rows
        for row in own:
            better = [other for other in own if other.figures["utilization"] >= row.figures["utilization"]
                      and other.values["hw.act_slots"] <= row.values["hw.act_slots"]
                      and (other.figures["utilization"], other.values["hw.act_slots"])
                      != (row.figures["utilization"], row.values["hw.act_slots"])]
            assert (row in one.rows) == (not better)
        assert [row.figures["utilization"] for row in one.rows] == sorted(
            (row.figures["utilization"] for row in one.rows), reverse=True)


def test_the_table_the_csv_and_the_plot_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swept(write(tmp_path), tmp_path / "out", "--csv", str(tmp_path / "out.csv"), "--plots", str(tmp_path))
    said = capsys.readouterr().out
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 72 and {row["scheme"] for row in rows} == {"a4", "stamp"}
    best = [row for row in rows if row["front"] == "1"]
    for scheme in ("a4", "stamp"):
        own = [row for row in best if row["scheme"] == scheme]
        assert f"Pareto front of {scheme} (least cycles, least energy_fj, least pes): {len(own)} of " in said
        for row in own:
            assert any(line.split()[:5] == [row["point"], row["hw.rows"], row["hw.cols"], row["hw.act_slots"],
                                            row["workload.k"]] for line in said.splitlines())
    failed = [row for row in rows if row["error"]]
    assert failed and all(row["cycles"] == "" and row["front"] == "0" for row in failed)
    assert f"{72 - len(failed)} rows costed, {len(failed)} failed" in said and failed[0]["error"][:40] in said
    assert max(map(len, said.splitlines())) <= 100
    assert (tmp_path / results.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_a_plot_shows_every_costed_point(small: list[dict[str, Any]]) -> None:
    rows = results.rows(map(json.dumps, small))
    (axis,) = plot.draw(rows, ("cycles", "utilization")).axes
    for scheme, shown in zip(("a4", "stamp"), axis.collections, strict=True):
        wanted = [(row.figures["cycles"], row.figures["utilization"]) for row in rows
                  if row.scheme == scheme and row.error is None]
        assert np.asarray(shown.get_offsets()).tolist() == [list(pair) for pair in wanted]
    assert axis.get_xlabel() == "cycles (less is better)" and axis.get_ylabel() == "utilization (more is better)"


def test_a_long_front_is_cut_and_says_so(tmp_path: Path) -> None:
    text = "workload: {tokens: 64, k: 64, n: 64}\naxes: {hw.freq_hz: {from: 1e+8, to: 4e+8, step: 1e+7}}\n" \
           "objectives: [time_s, hw.freq_hz]\n"
    found = swept(write(tmp_path, text), tmp_path / "out")
    sweep, rows = spec.read(write(tmp_path, text)), results.rows(map(json.dumps, found))
    said = tables.render(sweep, len(found), rows, results.fronts(rows, sweep.objectives))
    assert "31 of 31 points" in said and "and 7 more (--csv)" in said


def test_the_footer_says_of_models_alone_that_jobs_are_prefetched(tmp_path: Path) -> None:
    model = "workload: {model: smollm2-135m}\naxes: {hw.rows: [8]}\n"
    moved = "workload: {decode: 1}\naxes: {workload.model: [smollm2-135m]}\n"
    layers = "workload: {tokens: 64, k: 64, n: 64}\naxes: {hw.rows: [8]}\n"
    for text, prefetched in ((model, True), (moved, True), (layers, False)):
        said = tables.render(spec.read(write(tmp_path, text)), 1, [], [])
        assert ("workload.prefetch is false" in said, "on an engine at rest" in said) == (prefetched, not prefetched)


def test_the_shipped_sweep_is_one_and_the_one_of_its_page() -> None:
    path = ROOT / "configs" / "sweeps" / "array.yaml"
    sweep = spec.read(path)
    assert len(list(sweep.points())) == 48 and sweep.load_of({}).workload.phases[0].name == "prefill"
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_yaml(shown, "page") == load_yaml(path, "sweep")


def test_the_page_names_every_key_every_figure_and_every_default() -> None:
    named = set(re.findall(r"`([\w.]+)`", PAGE))
    assert {*spec._KEYS, *figures.WHOLE, *figures.HARDWARE, *figures.PHASE, *find.Ask.__slots__} <= named
    assert f"default {', '.join(f'`{name}`' for name in spec.OBJECTIVES)}" in PAGE
    assert f"at most {axes.MOST_POINTS:,} points" in PAGE


def test_every_kind_of_workload_of_the_page_can_be(tmp_path: Path) -> None:
    texts = [text for text in re.findall(r"`(\{\w+.*?\})`", PAGE) if "NAME" not in text and "from" not in text]
    assert len(texts) == 2
    for text in (texts[0].replace("{tokens, k, n}", "{tokens: [4, 8], k: 8, n: 8}"), texts[1]):
        loaded = spec.read(write(tmp_path, f"workload: {text}\naxes: {{hw.rows: [8]}}\n")).load_of({})
        assert loaded.workload.name == "layers"


def test_progress_is_a_line_every_so_often_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seldom, always = lasting(1000), lasting(0)
    for say in (seldom, always):
        say("1 of 2 points")
        say("")
        say("2 of 2 points")
    assert capsys.readouterr().err == "1 of 2 points\n2 of 2 points\n"


def test_a_worker_with_other_code_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = points.Setting(base={}, schemes=("stamp",), energy_set=None, mapping="largest", code="1" * 64)
    with pytest.raises(StampError, match="a worker runs another stamp-hw.*expected 111111111111, the one that"):
        points.work(setting.text(), points.chunk([]))
    assert rooms.call("sim.sweep.points", "code_here") == points.code_here() != setting.code
