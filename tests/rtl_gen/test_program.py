"""`stamp-hw program`: registers and beats of a trace's layers, as the golden model has them, in JSON and in C."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.axi.registers import registers
from rtl_gen.delivery import handover, program
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from tests.support.generate_cases import LINE, SMALL, compiled, generated
from tests.support.simulate_cases import write_one


@pytest.mark.parametrize("config", [SMALL, LINE], ids=["small", "line"])
def test_a_program_counts_the_beats_that_the_golden_model_sends(config: NpuConfig, rng: np.random.Generator) -> None:
    params = EngineParams.of(config.hw)
    for _ in range(30):
        grid = None
        if config.hw.axes == 2 and rng.random() < 0.5:
            grid = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        tokens = grid[0] * grid[1] if grid else int(rng.integers(1, 40))
        outliers = () if grid else tuple(sorted(map(int, rng.permutation(tokens)[: rng.integers(0, 4)])))
        k, n = int(rng.integers(1, 50)), int(rng.integers(1, 15))
        x = rng.standard_normal((tokens, k)).astype(np.float32)
        layer = Layer("one", x, rng.standard_normal((n, k)).astype(np.float32), grid=grid, outliers=outliers)
        job = config.with_job(n_hi=int(rng.integers(0, tokens + 1)),
                              scale_mode=str(rng.choice(["minmax", "symmetric"])),
                              weight_group=rng.choice([None, 32, 64]))
        made = program.layer_program("one", job, tokens=tokens, k=k, n=n, grid=grid, outliers=outliers)
        beats = engine_streams.streams(layer, job, run_linear(layer, job))
        assert made.registers == {f"JOB_{name.upper()}": int(value[0]) for name, value in beats["job"].items()}
        act, out = made.streams["s_axis_act"], made.streams["m_axis_out"]
        assert (act["beats"], act["packets"]) == (len(beats["i"]["last"]), beats["i"]["last"].sum())
        assert act["bytes"] == len(beats["i"]["last"]) * params.lanes * 2
        assert made.streams["s_axis_wgt"] == {"beats": len(beats["w"]["wgt"]), "bytes": beats["w"]["wgt"].size,
                                              "packets": None, "file": None}
        assert made.streams["s_axis_par"] == {"beats": len(beats["p"]["bias"]), "bytes": 16 * len(beats["p"]["bias"]),
                                              "packets": None, "file": None}
        assert (out["beats"], out["packets"], out["bytes"]) == (
            len(beats["o"]["last"]), beats["o"]["end"].sum(), 2 * beats["o"]["keep"].sum())


def test_the_command_writes_json_and_a_header_that_fits_the_build(toy: Path, tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    out, header = tmp_path / "p.json", tmp_path / "layers.h"
    config = tmp_path / "c.yaml"
    config.write_text("hw: {act_slots: 100, max_levels: 4}\njob: {levels: 2, n_hi: 16}\n")
    assert main(["program", str(toy), "--config", str(config), "--out", str(out), "--header", str(header)]) == 0
    shown = capsys.readouterr().out
    content = json.loads(out.read_text())
    loaded = NpuConfig.load(config)
    assert content["hw"] == loaded.to_dict()["hw"] and content["refused"] == [] and content["schema_version"] == 2
    offsets = {register.name: register.offset for register in registers(EngineParams.of(loaded.hw))}
    assert all(offsets[name] == offset for name, offset in content["offsets"].items())
    assert len(content["layers"]) == 4 and all(layer["name"] in shown for layer in content["layers"])
    (tmp_path / "stamp_engine.h").write_text(handover.files(loaded.hw, ["a.v"], "waivers.vlt")["stamp_engine.h"])
    shown_c = "".join(f'    printf(" %u", stamp_layers[at].job.{name.removeprefix("JOB_").lower()});\n'
                      for name in content["offsets"])
    done = compiled(tmp_path, '#include "layers.h"\nint main(void) {\n  int at;\n'
                    '  for (at = 0; at < STAMP_LAYERS; at++) {\n    printf("%s", stamp_layers[at].name);\n' + shown_c +
                    '    printf(" %lu %lu %lu %lu\\n", (unsigned long)stamp_layers[at].act_beats,\n'
                    "           (unsigned long)stamp_layers[at].wgt_beats, (unsigned long)stamp_layers[at].par_beats,\n"
                    "           (unsigned long)stamp_layers[at].out_beats);\n  }\n  return 0;\n}\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        " ".join([layer["name"], *(str(layer["registers"][name]) for name in content["offsets"]),
                  *(str(layer["streams"][name]["beats"]) for name in layer["streams"])]) for layer in content["layers"]]
    (tmp_path / "stamp_engine.h").write_text(generated(LINE)["stamp_engine.h"])
    other = compiled(tmp_path, '#include "layers.h"\nint main(void) { return 0; }\n')
    assert other.returncode and "belongs to other hardware" in other.stderr


def test_the_data_are_the_bytes_of_the_streams(tmp_path: Path, rng: np.random.Generator) -> None:
    """Each file read back field by field, as the layout in docs/engine.md says."""
    x = rng.standard_normal((21, 9)).astype(np.float32)
    x[:2] *= 100
    trace = write_one(tmp_path / "t.safetensors", x, outliers=(0, 1), bias=rng.standard_normal(8).astype(np.float32))
    config = tmp_path / "c.yaml"
    config.write_text("hw: {in_width: 12, lanes: 4, cols: 6, rescale_lanes: 3, acc_width: 32}\n"
                      "job: {scale_mode: symmetric}\n")
    command = ["program", str(trace), "--config", str(config), "--out", str(tmp_path / "p.json")]
    assert main([*command, "--data", str(tmp_path / "data")]) == 0
    made = json.loads((tmp_path / "p.json").read_text())["layers"][0]
    loaded = NpuConfig.load(config)
    with Trace.open(trace) as opened:
        layer = opened.layer("one")
    beats = engine_streams.streams(layer, loaded, run_linear(layer, loaded))
    raw = {name: (tmp_path / "data" / stream["file"]).read_bytes() for name, stream in made["streams"].items()}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        stream["file"] for stream in made["streams"].values()}
    assert all(len(raw[name]) == stream["bytes"] for name, stream in made["streams"].items())
    act = np.frombuffer(raw["s_axis_act"], "<i2").reshape(-1, 4)
    assert np.array_equal(act, beats["i"]["x"]) and len(act) == made["streams"]["s_axis_act"]["beats"]
    assert np.array_equal(np.frombuffer(raw["s_axis_wgt"], "i1").reshape(-1, 6), beats["w"]["wgt"])
    for at, word in enumerate(raw["s_axis_par"][16 * n : 16 * n + 16] for n in range(len(beats["p"]["bias"]))):
        found = struct.unpack("<iHHBBHi", word)
        assert found == (*(int(beats["p"][name][at]) for name in ("wsum", "mant0", "mant1", "shift0", "shift1")), 0,
                         int(beats["p"]["bias"][at]))
    kept = beats["o"]["y"][beats["o"]["keep"].astype(bool)]
    assert np.array_equal(np.frombuffer(raw["m_axis_out"], "<i2"), kept)
    shifts = beats["i"]["sink_shift"][:: made["registers"]["JOB_BEATS"]]
    assert made["sink_shift"] == shifts[:2].tolist() and min(made["sink_shift"]) > 0 and not shifts[2:].any()
    assert main(command) == 0  # without files
    bare = json.loads((tmp_path / "p.json").read_text())["layers"][0]
    assert bare["sink_shift"] is None and all(stream["file"] is None for stream in bare["streams"].values())
    assert bare["registers"] == made["registers"]


def test_a_name_from_a_trace_stays_a_string_in_c(tmp_path: Path) -> None:
    name = 'a"b\\c??/ */ \u00e9 %s'
    trace = write_one(tmp_path / "t.safetensors", np.ones((8, 4)), name=name)
    assert main(["program", str(trace), "--out", str(tmp_path / "p.json"), "--header", str(tmp_path / "layers.h")]) == 0
    (tmp_path / "stamp_engine.h").write_text(handover.files(NpuConfig().hw, ["a.v"], "waivers.vlt")["stamp_engine.h"])
    done = compiled(tmp_path, '#include "layers.h"\nint main(void) { return (int)fwrite(stamp_layers[0].name, 1,'
                              " strlen(stamp_layers[0].name), stdout) < 0; }\n")
    assert done.returncode == 0 and done.stdout == name


def test_a_layer_that_does_not_fit_is_listed_with_its_reason_and_the_exit_code_is_two(
        toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, config = tmp_path / "p.json", tmp_path / "c.yaml"
    config.write_text("hw: {max_k: 64}\n")  # the toy's layers have 96 and 40 input channels
    assert main(["program", str(toy), "--config", str(config), "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1 and "2 of 4 layers do not fit" in captured.err
    content = json.loads(out.read_text())
    assert [layer["name"] for layer in content["layers"]] == ["model.layers.0.down", "model.layers.1.down"]
    assert [layer["name"] for layer in content["refused"]] == ["model.layers.0.q", "model.layers.1.q"]
    assert all("hw.max_k = 64" in layer["reason"] for layer in content["refused"])
    config.write_text("hw: {max_k: 16}\n")
    assert main(["program", str(toy), "--config", str(config), "--out", str(tmp_path / "none.json")]) == 2
    assert "no layer fits the hardware" in capsys.readouterr().err and not (tmp_path / "none.json").exists()


def test_blocks_that_the_hardware_does_not_have_are_refused(toy: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("job: {group: 32}\n")
    assert main(["program", str(toy), "--config", str(config), "--out", str(tmp_path / "p.json")]) == 2
    assert "this hardware has no blocks (hw.block)" in capsys.readouterr().err and not (tmp_path / "p.json").exists()


@pytest.mark.parametrize("arguments", [
    ["{toy}", "--out", "{toy}"], ["{toy}", "--out", "{tmp}/p.json", "--header", "{tmp}/p.json"],
    ["{toy}", "--out", "{tmp}/p.json", "--data", "{toy}"], ["{toy}", "--out", "{tmp}/d/p.json", "--data", "{tmp}/d"],
    ["{toy}", "--out", "{tmp}"], ["{toy}", "--out", "{tmp}/p.json", "--header", "{toy}/x.h"],
    ["{toy}", "--out", "{tmp}/p.json", "--layers", "nothing of that name"],
    ["{toy}", "--out", "{tmp}/p.json", "--layers", "("],
    ["{toy}", "--out", "{tmp}/p.json", "--config", "{tmp}/missing.yaml"],
    ["{tmp}/missing", "--out", "{tmp}/p.json"], ["{tmp}/text", "--out", "{tmp}/p.json"],
])
def test_wrong_input_is_one_line_and_nothing_is_written(arguments: list[str], toy: Path, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no trace")
    before, content = sorted(tmp_path.iterdir()), toy.read_bytes()
    assert main(["program", *(word.format(toy=toy, tmp=tmp_path) for word in arguments)]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1 and captured.err.startswith("stamp-hw: ") and not captured.out
    assert sorted(tmp_path.iterdir()) == before and toy.read_bytes() == content


def test_a_program_is_refused_as_the_model_refuses_the_job() -> None:
    for outliers, why in (((9,), "positions in 0…8"), ((0, 1), "at most 1 of 9 tokens")):
        with pytest.raises(ConfigError, match=why):
            program.layer_program("one", NpuConfig().with_job(outliers=outliers), tokens=9, k=8, n=8, grid=None,
                                  outliers=())
