"""What is wrong with a sweep whatever its points say is one line before the first of them; what is wrong with a point
is that point's line, and the sweep goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.cost import energy
from sim.workload import file, find
from stamp_hw.cli.main import main
from tests.support.refusals import files, refused
from tests.support.sweep_cases import points, swept, write

LAYER = "workload: {tokens: 64, k: 64, n: 64}\n"
ROWS = "axes: {hw.rows: [4, 8]}\n"


@pytest.mark.parametrize(("text", "said"), [
    ("[1]", "not a mapping; got [1]; expected keys among name, base"),
    ("", "not a mapping; got None"),
    (LAYER + ROWS + "axis: {}\n", "axis: unknown key; expected one of name, base"),
    (LAYER, "axes: nothing to sweep"), (ROWS, "workload: not a mapping; got None"),
    (LAYER + "axes: [1]\n", "axes: not a mapping"),
    (LAYER + "axes: {hw.rows: 4}\n", "axes.hw.rows: not an axis; got 4"),
    (LAYER + "axes: {hw.rows: []}\n", "axes.hw.rows: not an axis; got 0 values"),
    (LAYER + "axes: {hw.rows: [4, 4]}\n", "axes.hw.rows: value given twice"),
    (LAYER + "axes: {hw.row: [4]}\n", "axes: no such field; got hw.row; expected hw.rows?"),
    (LAYER + "axes: {rows: [4]}\n", "axes: no such field; got rows; expected"),
    (LAYER + "axes: {hw.freq_hz: [.inf]}\n", "axes.hw.freq_hz[0]: not a value; got inf"),
    (LAYER + "axes: {hw.freq_hz: [2026-01-01]}\n", "axes.hw.freq_hz[0]: not a value; got datetime.date"),
    (LAYER + "axes: {hw.rows: {from: 8, to: 4, step: 1}}\n", "axes.hw.rows: empty range"),
    (LAYER + "axes: {hw.rows: {from: 1, to: 4, step: 0}}\n", "axes.hw.rows: empty range"),
    (LAYER + "axes: {hw.rows: {from: 1, to: 4, times: 1}}\n", "axes.hw.rows: empty range"),
    (LAYER + "axes: {hw.rows: {from: 0, to: 4, times: 2}}\n", "axes.hw.rows: empty range"),
    (LAYER + "axes: {hw.rows: {from: 1, to: 4, step: 1, times: 2}}\n", "axes.hw.rows: not an axis"),
    (LAYER + "axes: {hw.rows: {from: 1, to: x, step: 1}}\n", "axes.hw.rows.to: not a number; got 'x'"),
    (LAYER + "axes: {hw.rows: {from: 1, to: 4}}\n", "axes.hw.rows: range without steps"),
    (LAYER + "axes: {hw.rows: {from: 0, to: 4, log: true}}\nsamples: 2\n", "axes.hw.rows: empty range"),
    (LAYER + "axes: {hw.rows: {from: 1, to: 4, log: 1}}\nsamples: 2\n", "axes.hw.rows.log: not an axis"),
    (LAYER + "axes: {hw.rows: {from: 1, to: 1000000, step: 1}}\n", "axes.hw.rows: not an axis; got 100001 values"),
    (LAYER + "axes: {hw.act_slots: {from: 1, to: 1000, step: 1}, job.n_hi: {from: 0, to: 999, step: 1}}\n",
     "axes: too many points; got 1000000; expected at most 100000, or samples"),
    (LAYER + ROWS + "together: [{hw.rows: [4], hw.cols: [4]}]\n", "axes: field on two axes; got hw.rows"),
    (LAYER + "together: [{hw.rows: [4, 8], hw.cols: [4]}]\n",
     "together[0]: fields that move together; got 2 of hw.rows, 1 of hw.cols"),
    (LAYER + "together: [{hw.rows: [4, 8]}]\n", "together[0]: not an axis"),
    (LAYER + "together: {hw.rows: [4, 8]}\n", "together: not a list"),
    (LAYER + ROWS + "samples: 3\n", "samples: more samples than points; got 3; expected at most 2"),
    (LAYER + ROWS + "samples: 0\n", "samples: impossible value; got 0"),
    (LAYER + ROWS + "seed: -1\n", "seed: impossible value; got -1"),
    (LAYER + ROWS + "schemes: [best]\n", "schemes: unknown scheme; got best; expected some of a8,a4,first_n,stamp"),
    (LAYER + ROWS + "schemes: stamp\n", "schemes: not a list of names"),
    (LAYER + ROWS + "schemes: [stamp_shuffled]\n", "no tokens to shuffle"),
    (LAYER + ROWS + "objectives: [speed]\n", "objectives: no such objective; got speed; expected some of cycles"),
    (LAYER + ROWS + "objectives: [macs]\n", "objectives: no such objective; got macs"),
    (LAYER + ROWS + "objectives: [prefill.time_s]\n", "objectives: no such objective; got prefill.time_s"),
    (LAYER + ROWS + "base: {hw: {rows: 0}}\n", "base.hw.rows: impossible value; got 0"),
    (LAYER + ROWS + "base: {hw: {dram_bytes_per_s: -1.0}}\n", "base.hw.dram_bytes_per_s: impossible value; got -1.0"),
    (LAYER + ROWS + "base: none.yaml\n", "none.yaml: cannot read configuration"),
    (LAYER + ROWS + "base: 7\n", "base: not a mapping"),
    (LAYER + ROWS + "energy_set: none.yaml\n", "none.yaml: cannot read energy set"),
    (LAYER + ROWS + "name: 7\n", "name: not a name; got 7"),
    ("workload: {tokens: 64, k: 64}\n" + ROWS, "workload: key is missing; got tokens, k; expected n"),
    ("workload: {}\n" + ROWS, "workload: key is missing; got none; expected tokens, k and n of a layer; shapes; or"),
    ("workload: {tokens: 64, k: 64, n: 64, m: 1}\n" + ROWS, "workload.m: unknown key"),
    ("workload: {tokens: 64, k: 64, n: 64, prefill: 1}\n" + ROWS,
     "workload.prefill: no key of a layer; expected one of tokens, k, n, vector_lanes"),
    ("workload: {tokens: 64, k: 64, n: 0}\n" + ROWS, "layer.outputs.layer: impossible value; got 0"),
    ("workload: {tokens: -64, k: 64, n: 8}\n" + ROWS, "layer.tokens: impossible value; got -64"),
    ("workload: {tokens: [8, 8, 8], k: 64, n: 8}\n" + ROWS, "workload.tokens: impossible value; got [8, 8, 8]"),
    ("workload: {tokens: [8, x], k: 64, n: 8}\n" + ROWS, "workload.tokens: impossible value; got 'x'"),
    ("workload: {shapes: [64x64]}\n" + ROWS, "workload.shapes: not a shape; got '64x64'"),
    ("workload: {shapes: 64x64x64}\n" + ROWS, "workload.shapes: not a list"),
    ("workload: {shapes: [8x8x8, 8x8x8]}\n" + ROWS, "two operations of one name"),
    ("workload: {model: lama-3-8b}\n" + ROWS, "lama-3-8b: no such model; expected llama-3-8b?"),
    ("workload: {model: 7}\n" + ROWS, "workload.model: not a model; got 7"),
    ("workload: {model: llama-3-8b, prefill: -1}\n" + ROWS, "workload.prefill: impossible value; got -1"),
    ("workload: {model: llama-3-8b, prefill: x}\n" + ROWS, "workload.prefill: impossible value; got 'x'"),
    ("workload: {model: llama-3-8b, kv_bits: 5}\n" + ROWS, "kv_bits: impossible value; got 5"),
    ("workload: {model: sana-1024, guidance: 1}\n" + ROWS, "workload.guidance: impossible value; got 1"),
    ("workload: {model: llama-3-8b, prefetch: 1}\n" + ROWS, "workload.prefetch: impossible value; got 1"),
    ("workload: {tokens: 8, k: 8, n: 8, prefetch: true}\n" + ROWS, "workload.prefetch: no key of a layer"),
    ("workload: {tokens: 8, k: 8, n: 8, vector_lanes: 0}\n" + ROWS, "workload.vector_lanes: impossible value; got 0"),
], ids=lambda item: " ".join(item.split())[-60:])
def test_a_sweep_that_cannot_be_is_one_line(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                            ) -> None:
    sweep = write(tmp_path, text)
    line = refused(["sweep", str(sweep), "--out", str(tmp_path / "out"), "--jobs", "1"], capsys)
    assert said in line and str(tmp_path) in line
    assert files(tmp_path) == {"small.yaml"}


@pytest.mark.parametrize(("axis", "said"), [
    ("hw.freq_hz: [5e+8, 0, -1]", "hw.freq_hz: impossible value; got {}; expected a number in 1000…1e+11"),
    ("hw.dram_bytes_per_s: [1e+9, 0.0, -2.0]", "hw.dram_bytes_per_s: impossible value; got {}"),
    ("hw.act_slots: [64, 1, 2]", "hw.act_slots: a Haar tile does not fit the activation buffer; got {}"),
    ("workload.tokens: [64, 0, -3]", "layer.tokens: impossible value; got {}"),
    ("workload.k: [64, 8000, 9000]", "layer: job.k: impossible value; got {}; expected at most hw.max_k = 4096"),
    ("hw.technology: [horowitz45, a1, a2]", "hw.technology: no such energy set; got {}; expected one of"),
    ("hw.rows: [8, {a: 1}, [1]]", "hw.rows: impossible value; got {}")])
def test_a_point_that_cannot_be_is_its_line_and_the_sweep_goes_on(axis: str, said: str, tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    sweep = write(tmp_path, f"{LAYER}schemes: [a8, stamp]\naxes: {{{axis}}}\n")
    found = swept(sweep, tmp_path / "out")
    good, *bad = found
    assert good["schemes"]["a8"]["cycles"] > 0 and len(bad) == 2
    for point in bad:
        (value,) = point["values"].values()
        errors = [figures["error"] for figures in point["schemes"].values() if "error" in figures]
        assert errors and all(said.format(value) in error for error in errors)
    assert "Failed:\n* point 1, " in capsys.readouterr().out


@pytest.mark.parametrize("base", ["", "base: {hw: {rows: 8}}\n"])
def test_a_field_inside_a_field_that_holds_no_others_is_refused_as_a_value_of_it(base: str, tmp_path: Path,
                                                                                capsys: pytest.CaptureFixture[str]
                                                                                ) -> None:
    sweep = write(tmp_path, f"{base}{LAYER}axes: {{hw.rows.deep: [1, 2]}}\n")
    line = refused(["sweep", str(sweep), "--out", str(tmp_path / "out"), "--jobs", "1"], capsys)
    assert ("hw.rows.deep: not a mapping; got 8" if base else "hw.rows: impossible value; got {'deep': 1}") in line


def test_a_sweep_of_which_no_point_can_be_is_refused_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                                 ) -> None:
    sweep = write(tmp_path, f"{LAYER}axes: {{hw.freq_hz: [0, -1]}}\n")
    line = refused(["sweep", str(sweep), "--out", str(tmp_path / "out"), "--jobs", "1"], capsys)
    assert "no point of the sweep can be; got hw.freq_hz: impossible value; got 0; expected a number in" in line
    assert [point["schemes"]["stamp"]["error"][:40] for point in points(tmp_path / "out")] == [
        "hw.freq_hz: impossible value; got 0; exp", "hw.freq_hz: impossible value; got -1; ex"]


@pytest.mark.parametrize("option", ["--csv", "--out"])
@pytest.mark.parametrize("name", ["base.yaml", "own.yaml", "model.yaml"])
def test_no_output_replaces_a_file_that_the_sweep_names(option: str, name: str, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "base.yaml").write_text("hw: {rows: 8}\n")
    shipped = Path(energy.__file__).parent / "energy_sets" / "horowitz45.yaml"
    (tmp_path / "own.yaml").write_text(shipped.read_text("utf-8"))
    with (tmp_path / "model.yaml").open("w") as stream:
        file.write(find.workload("smollm2-135m", find.Ask(prefill=8, decode=0)), stream)
    sweep = write(tmp_path, f"base: base.yaml\nenergy_set: own.yaml\nworkload: {{model: model.yaml}}\n{ROWS}")
    before = (tmp_path / name).read_text()
    words = ["--out", str(tmp_path / "out"), "--csv", str(tmp_path / "csv")]
    words[words.index(option) + 1] = str(tmp_path / name)
    assert "output in the way of another file" in refused(["sweep", str(sweep), *words], capsys)
    assert (tmp_path / name).read_text() == before


@pytest.mark.parametrize("out", [".", "folder", "/dev/null", "small.yaml/below"])
def test_a_place_that_takes_no_points_is_refused(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert out in refused(["sweep", str(write(tmp_path)), "--out", out], capsys)
    assert files(tmp_path) == {"small.yaml", "folder"}


@pytest.mark.parametrize(("words", "said"), [
    (["--jobs", "0"], "a whole number from 1 on is expected"), (["--jobs", "1", "--scheduler", "tcp://a:1"],
                                                                "not allowed with argument"),
    (["--out", "x"], "given twice")])
def test_options_that_cannot_be_are_refused(words: list[str], said: str, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["sweep", str(write(tmp_path)), "--out", str(tmp_path / "out"), *words])
    assert stop.value.code == 2 and said in capsys.readouterr().err
