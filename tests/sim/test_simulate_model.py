"""`stamp-hw simulate --model` and `stamp-hw compare`: what they print and write, and what they refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.workload import compare, find
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.text import WIDTH
from tests.support.commands import command

NPU = ("--config", find.HOME / "configs" / "npu32.yaml")
LANGUAGE = ("--config", find.HOME / "configs" / "language.yaml")
SHORT = ("--prefill", 64, "--decode", 4)


def written(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("words", "unit"), [(("llama-3-8b", *NPU), "token"), (("pixart-sigma-512", *NPU), "image"),
                                             (("sana-1024", *NPU, "--vector-lanes", 64), "image")])
def test_the_answer_fits_a_screen_of_100_columns(words: tuple[object, ...], unit: str, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert command("simulate", "--model", *words, "--json", tmp_path / "r.json") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDTH
    found = written(tmp_path / "r.json")["schemes"]["stamp"]["phases"]
    for phase in found.values():
        assert phase["unit"] == unit and "Time by what paces it (stamp): " in text
        assert phase["units_per_s"] <= min(phase["memory_units_per_s"], phase["array_units_per_s"])


def test_every_figure_of_a_model_is_in_json_and_csv(tmp_path: Path) -> None:
    json_path, csv_path = tmp_path / "r.json", tmp_path / "r.csv"
    for _ in range(2):  # the same bytes again
        assert command("simulate", "--model", "smollm2", *LANGUAGE, *SHORT, "--json", json_path, "--csv", csv_path) == 0
        before = json_path.read_bytes(), csv_path.read_bytes()
    assert before == (json_path.read_bytes(), csv_path.read_bytes())
    report, lines = written(json_path), list(csv.DictReader(csv_path.read_text(encoding="utf-8").splitlines()))
    assert len(lines) == sum(len(phase["ops"]) for found in report["schemes"].values()
                             for phase in found["phases"].values())
    for line in lines:
        op = report["schemes"][line["scheme"]]["phases"][line["phase"]]["ops"][line["operation"]]
        assert (line["cycles"], line["energy_fj"], line["dram_bytes"]) == tuple(
            str(op[name]) for name in ("cycles", "energy_fj", "dram_bytes"))
    assert report["workload"]["name"] == "smollm2-135m"


def test_a_workload_that_is_edited_is_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    assert command("simulate", "--model", "smollm2", *LANGUAGE, *SHORT, "--dump-workload", path,
                   "--json", tmp_path / "a.json") == 0
    workload = yaml.safe_load(path.read_text(encoding="utf-8"))
    down = next(op for op in workload["phases"][0]["ops"] if op["name"] == "down")
    down["repeat"] *= 2
    path.write_text(yaml.safe_dump(workload), encoding="utf-8")
    assert command("simulate", "--model", path, *LANGUAGE, "--json", tmp_path / "b.json") == 0
    before, after = (written(tmp_path / name)["schemes"]["stamp"]["phases"]["prefill"]["ops"]
                     for name in ("a.json", "b.json"))
    assert after["down"]["cycles"] == 2 * before["down"]["cycles"]
    assert all(after[name] == before[name] for name in before if name != "down")


def test_the_workload_that_the_documents_show_runs(tmp_path: Path) -> None:
    page = (find.HOME / "docs" / "workloads.md").read_text(encoding="utf-8")
    path = tmp_path / "w.yaml"
    path.write_text(page.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    assert command("simulate", "--model", path, *LANGUAGE, "--json", tmp_path / "w.json") == 0
    assert set(written(tmp_path / "w.json")["schemes"]["stamp"]["phases"]["prefill"]["ops"]) == {"qkv", "attention"}


def test_the_vector_unit_is_counted_behind_the_array(tmp_path: Path) -> None:
    for name, lanes in (("a", ()), ("b", ("--vector-lanes", 32))):
        assert command("simulate", "--model", "smollm2", *LANGUAGE, *SHORT, *lanes, "--json", tmp_path / name) == 0
    without, counted = (written(tmp_path / name)["schemes"]["stamp"]["phases"]["prefill"] for name in "ab")
    assert without["vector_cycles"] == 0 and without["cycles"] == without["engine_cycles"] == counted["engine_cycles"]
    # 30 blocks: 2 norms of 576 in 3 operations, rotary 576 + 192 in 3, scores of 9 heads in 4, gate 1536 in 4, 2 adds
    values = 64 * (3 * 2 * 576 + 3 * 768 + 4 * 9 * 64 + 4 * 1536 + 2 * 576)
    assert counted["vector_operations"] == 30 * values
    assert counted["cycles"] == counted["engine_cycles"] + counted["vector_cycles"]


def report_of_eval(path: Path, config: NpuConfig, **change: Any) -> Path:
    rows = [{"scheme": scheme, "perplexity": value} for scheme, value in (("a8", 25.5), ("stamp", 28.25))]
    path.write_text(json.dumps({"kind": "text", "model": "smollm2", "tokens": 512, "rows": rows,
                                "config": config.to_dict()} | change), encoding="utf-8")
    return path


def test_a_measured_accuracy_stands_beside_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = NpuConfig.load(LANGUAGE[1])
    good = report_of_eval(tmp_path / "good.json", config)
    assert command("simulate", "--model", "smollm2", *LANGUAGE, *SHORT, "--accuracy", good) == 0
    assert " 28.25 " in capsys.readouterr().out
    both = compare.with_weights(compare.machine("both", config), 8)
    eight = report_of_eval(tmp_path / "eight.json", both)
    assert command("compare", "smollm2", *LANGUAGE, *SHORT, "--accuracy", eight) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "25.50" in line]
    assert [line.split()[:3] for line in lines] == [["both", "w8a8", "25.50"]]
    other = report_of_eval(tmp_path / "other.json", config, model="llama-3-8b")
    with pytest.raises(StampError, match="another model"):  # behind one that fits as well
        command("compare", "smollm2", *LANGUAGE, *SHORT, "--accuracy", eight, "--accuracy", other)
    for path, said in ((report_of_eval(tmp_path / "m", config, model="llama-3-8b"), "another model"),
                       (report_of_eval(tmp_path / "h", config.with_hw(in_width=8)), "in_width: accuracy of another hw"),
                       (report_of_eval(tmp_path / "j", config.with_job(n_hi=3)), "n_hi: accuracy of another job"),
                       (report_of_eval(tmp_path / "k", config, kind="?"), "not a report of eval"),
                       (tmp_path / "missing", "cannot read")):
        for words in (("simulate", "--model", "smollm2"), ("compare", "smollm2")):
            with pytest.raises(StampError, match=said):
                command(*words, *LANGUAGE, *SHORT, "--accuracy", path)


def test_the_layers_of_a_trace_tell_an_accuracy_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    traced = tmp_path / "t.json"
    trace = find.HOME / "models" / "traces" / "smollm2.safetensors"
    assert command("simulate", trace, *LANGUAGE, "--schemes", "a4,stamp", "--layers", r"0.*\.q_proj",
                   "--json", traced) == 0
    capsys.readouterr()
    assert command("simulate", "--model", "smollm2", *LANGUAGE, *SHORT, "--accuracy", traced) == 0
    text, found = capsys.readouterr().out, written(traced)["totals"]
    for scheme in ("a4", "stamp"):
        line = next(line for line in text.splitlines() if f" {scheme} " in line)
        assert f"  {found[scheme]['sqnr_db']:.2f}  " in line
    with pytest.raises(StampError, match="q_proj of 576 outputs"):
        command("simulate", "--model", "llama-3.2-1b", *LANGUAGE, "--hw", "max_k=8192", *SHORT, "--accuracy", traced)


def test_a_comparison_has_every_scheme_on_every_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c.json"
    packed = (*NPU, "--hw", "packed_weights=true", "--hw", "max_k=4096", "--hw", "act_slots=512")
    with pytest.raises(StampError, match="down: job.k.*4096"):
        command("compare", "llama-3.2-1b", *SHORT, *packed, "--json", out)
    assert command("compare", "smollm2", "--prefill", 256, "--decode", 2, *packed, "--json", out) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= WIDTH
    report = written(out)
    rows = {(row["machine"], row["scheme"]): row for row in report["rows"]}
    assert set(rows) == {(name, scheme) for name in compare.MACHINES for scheme in compare.SCHEMES}
    plain = {scheme: rows["plain", scheme]["total"] for scheme in compare.SCHEMES}
    bytes_of = {scheme: total["dram_bytes_by_operand"]["weights"] for scheme, total in plain.items()}
    assert bytes_of["w4a8"] < 0.6 * bytes_of["w8a8"] and bytes_of["w4a4"] == bytes_of["w4_stamp"]
    assert plain["w4a4"]["cycles"] < plain["w4_stamp"]["cycles"] < plain["w8a8"]["cycles"]
    for (name, _), row in rows.items():
        hadamard, blocks = compare.MACHINES[name]
        energy, base = (r["total"]["energy_fj_by_component"] for r in (row, rows["plain", row["scheme"]]))
        assert sum(energy.values()) == row["total"]["energy_fj"]
        assert row["share_of_energy"]["rescale"] == float(f"{energy['rescale'] / row['total']['energy_fj']:.9g}")
        assert (energy["rescale"] > base["rescale"], energy["lifting"] > base["lifting"]) == (blocks, hadamard)
    assert report["survives"] == dict.fromkeys(compare.MACHINES, True)
    assert report["orders_by_energy"]["horowitz45"]["plain"][0] == "w4a4"
    out.unlink()
    assert command("compare", "smollm2", *SHORT, *NPU, "--json", out) == 0  # weights of 4 bits travel as bytes there
    assert written(out)["orders_by_energy"]["horowitz45"]["plain"][-1] == "w4a8 = w8a8"


def test_work_of_the_vector_unit_alone_has_no_figures_of_the_engine(tmp_path: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "v.yaml"
    path.write_text("name: m\nphases:\n- {name: p, unit: token, produces: 64, ops: [{op: vector, name: v, values: 100, "
                    "passes: 3}]}\n", encoding="utf-8")
    for words in ((), ("--vector-lanes", 4)):
        assert command("simulate", "--model", path, *words) == 0
        assert command("compare", path, *words) == 0
    assert "–" in capsys.readouterr().out


def test_keys_of_4_bits_that_travel_as_bytes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (((), True), (("--hw", "packed_weights=true"), False)):
        assert command("simulate", "--model", "smollm2", *NPU, *SHORT, "--kv-bits", 4, *words) == 0
        assert ("Keys and values of 4 bits travel as bytes here" in capsys.readouterr().out) == told


def test_an_order_that_hangs_on_the_constants_is_said_to(tmp_path: Path) -> None:
    """A set in which nothing but the transform costs anything turns the order round."""
    own = yaml.safe_load((find.HOME / "sim/cost/energy_sets/horowitz45.yaml").read_text(encoding="utf-8"))
    own["name"] = "own"
    for name, constant in own["constants"].items():  # nothing but the transform costs anything
        if name != "lifting.add":
            curve = constant["energy_pj"]
            constant["energy_pj"] = dict.fromkeys(curve, 1e-9) if isinstance(curve, dict) else 1e-9
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(own), encoding="utf-8")
    assert command("compare", "smollm2", *LANGUAGE, *SHORT, "--energy-set", path, "--json", tmp_path / "c.json") == 0
    report = written(tmp_path / "c.json")
    orders = report["orders_by_energy"]
    assert set(orders) == {"horowitz45", "own"}
    assert report["survives"] == {name: orders["own"][name] == orders["horowitz45"][name] for name in compare.MACHINES}
    assert not all(report["survives"].values())


def test_a_machine_that_cannot_be_built_is_said_and_the_others_stand(tmp_path: Path,
                                                                     capsys: pytest.CaptureFixture[str]) -> None:
    words = (*LANGUAGE, "--hw", "lanes=24", "--hw", "hadamard=null", "--hw", "block=96", "--job", "group=96")
    assert command("compare", "smollm2", *SHORT, *words, "--json", tmp_path / "c.json") == 0
    assert "hadamard: hw.lanes: impossible value" in " ".join(capsys.readouterr().out.split())
    refused = {row["machine"] for row in written(tmp_path / "c.json")["rows"] if row["refusal"]}
    assert refused == {"hadamard", "both"}


@pytest.mark.parametrize(("words", "said"), [
    (("--model", "lama-3-8b"), "llama-3-8b\\?"), (("--model", "nothing_like_it"), "one of llama"),
    (("--model", ""), "no such model"), (("--model", "smollm2", "--decode", 100_000), "at most 65536"),
    (("--model", "tests"), "config.json"),
    (("--model", "smollm2", "--size", 64), "no option of language models"),
    (("--model", "sana-1024", "--prefill", 64), "no option of image models"),
    (("--model", "sana-1024", "--size", 100), "multiple of 32"),
    (("--model", "smollm2", "--prefill", 0, "--decode", 0), "nothing to do"),
    (("--model", "smollm2", "--layers", "x"), "option of traces"), (("--model", "smollm2", "--seed", 1), "--seed"),
    (("--model", "smollm2", "--schemes", "stamp_shuffled"), "no tokens to shuffle"),
    (("--shape", "8x8x8", "--schemes", "stamp_shuffled"), "no tokens to shuffle"),
    (("--model", "smollm2", "--schemes", "foo"), "got foo; expected some of a8,a4,first_n,stamp$"),
    (("--shape", "8x8x8", "--schemes", "a4,a4"), "expected some of a8,a4,first_n,stamp$"),
    (("--model", "smollm2", "--hw", "max_k=64"),
     "down: job.k.*got 1536; expected at most hw.max_k = 64; smollm2-135m takes --hw max_k=1536$"),
    (("--model", "sana-1024", "--config", "configs/image.yaml"), "got 5600.*sana-1024 takes --hw max_k=5632$"),
    (("--model", "smollm2", "--hw", "act_slots=4", "--prefill", 64), "Haar tile does not fit"),
    (("--shape", "8x8x8", "--batch", 2), "option of whole models"),
    (("--shape", "8x8x8", "--accuracy", "x"), "option of whole models"),
    (("--shape", "8x8x8", "--dump-workload", "x"), "option of whole models")])
def test_bad_input_is_refused_in_one_line(words: tuple[object, ...], said: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with pytest.raises(StampError, match=said) as refused:
        command("simulate", *words, "--json", out)
    assert "\n" not in str(refused.value) and refused.value.exit_code == 2 and not out.exists()


@pytest.mark.parametrize(("change", "said"), [
    ("phases: 3", "phases: not a list"), ("phases: []", "no phase"), ("name: [1]", "name: not a name"),
    ("other: 1", "unknown key"), ("phases: [{name: p, unit: token, produces: 1, ops: []}]", "no operation"),
    ("phases: [{name: p, unit: bag, produces: 1, ops: [{op: vector, name: v, values: 1, passes: 1}]}]", "unit"),
    ("phases: [{name: p, unit: token, produces: 0, ops: [{op: vector, name: v, values: 1, passes: 1}]}]", "produces"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: dance, name: v}]}]", "no such operation"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: vector, name: v, values: 1}]}]", "missing.*passes"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: linear, name: l, tokens: 4, k: -1, outputs: {a: 1}}]}]",
     "l.k: impossible value"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: linear, name: l, tokens: 4, k: 1, outputs: {}}]}]",
     "outputs"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: linear, name: l, tokens: 4, k: 1, outputs: {a: 1}, "
     "grid: [3, 1]}]}]", "H · W"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: attention, name: a, tokens: 1000000, heads: 2, "
     "kv_heads: 2, head_dim: 8, context: 4, query_block: 1}]}]", "query_block.*at least 16"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: attention, name: a, tokens: 4, heads: 3, kv_heads: 2, "
     "head_dim: 8, context: 4}]}]", "multiple of kv_heads"),
    ("phases: [{name: p, unit: token, produces: 1, ops: [{op: attention, name: a, tokens: 4, heads: 2, kv_heads: 2, "
     "head_dim: 8, context: 3, causal: true}]}]", "at least the 4 queries")])
def test_an_impossible_workload_is_refused_with_its_place(change: str, said: str, tmp_path: Path) -> None:
    key = change.partition(":")[0]
    base = {"name": "name: w", "phases": "phases: [{name: p, unit: token, produces: 1, ops: [{op: vector, name: v, "
                                         "values: 1, passes: 1}]}]"}
    path = tmp_path / "w.yaml"
    path.write_text("\n".join({**base, key: change}.values()), encoding="utf-8")
    with pytest.raises(StampError, match=said) as refused:
        command("simulate", "--model", path)
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


def test_a_model_of_more_than_16384_inputs_runs_on_hardware_of_one_axis() -> None:
    options = ("--model", "llama-3-70b", "--prefill", "64", "--decode", "1", "--schemes", "stamp")
    assert command("simulate", *options, "--hw", "max_k=28672", "--hw", "axes=1") == 0
    with pytest.raises(StampError, match="hw.max_k.*got 28672; expected at most 16384 with axes = 2, 32768 with axes"):
        command("simulate", *options, "--hw", "max_k=28672")
