"""`stamp-hw program --mapping`: the registers and streams of super-tiles that a search found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import run_linear
from stamp_hw.formats.trace import Trace

HW = ("--hw", "rows=32", "--hw", "act_slots=72", "--job", "n_hi=200", "--job", "levels=0")


@pytest.fixture(scope="module")
def report(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("mapping") / "report.json"
    assert main(["simulate", str(toy), *HW, "--schemes", "stamp", "--mapping", "searched", "--objective", "cycles",
                 "--json", str(path)]) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


def program(toy: Path, folder: Path, *options: str) -> int:
    return main(["program", str(toy), *HW, "--out", str(folder / "p.json"), *options])


def test_registers_and_streams_are_those_of_the_size_that_was_found(toy: Path, report: dict[str, Any], tmp_path: Path,
                                                                    ) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report), encoding="utf-8")
    assert program(toy, tmp_path, "--mapping", str(path), "--data", str(tmp_path / "data")) == 0
    made = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert program(toy, tmp_path) == 0
    largest = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    config = NpuConfig.from_dict({"hw": {"rows": 32, "act_slots": 72}, "job": {"n_hi": 200, "levels": 0}})
    with Trace(toy) as trace:
        for layer, other in zip(made["layers"], largest["layers"], strict=True):
            found = report["layers"][layer["name"]]["stamp"]
            size = found["mapping"]["tile_width"], found["mapping"]["tile_height"]
            assert (layer["registers"]["JOB_TILE_WIDTH"], layer["registers"]["JOB_TILE_HEIGHT"]) == size
            changed = other["registers"].items() - layer["registers"].items()
            assert [name for name, _ in changed] == ["JOB_TILE_WIDTH"]
            assert layer["shape"]["super_tiles"] == found["super_tiles"]
            data = trace.layer(layer["name"])
            beats = engine_streams.streams(data, config, run_linear(data, config), size)
            sent = (tmp_path / "data" / layer["streams"]["s_axis_wgt"]["file"]).read_bytes()
            assert sent == beats["w"]["wgt"].tobytes() and len(sent) == layer["streams"]["s_axis_wgt"]["bytes"]


def without_mapping(report: dict[str, Any]) -> None:
    del report["mapping"]


def other_trace(report: dict[str, Any]) -> None:
    report["trace_sha256"] = "0" * 64


def other_hardware(report: dict[str, Any]) -> None:
    report["config"]["hw"]["act_slots"] = 64


def other_job(report: dict[str, Any]) -> None:
    report["config"]["job"]["n_hi"] = "auto"


def other_scheme(report: dict[str, Any]) -> None:
    report["layers"] = {name: {"a4": figures["stamp"]} for name, figures in report["layers"].items()}


def no_number(report: dict[str, Any]) -> None:
    report["layers"]["model.layers.1.q"]["stamp"]["mapping"]["tile_width"] = True


def too_large(report: dict[str, Any]) -> None:
    for schemes in report["layers"].values():
        schemes["stamp"]["mapping"]["tile_width"] = 128


@pytest.mark.parametrize(("change", "said"), [
    (without_mapping, "no searched mapping in this file"), (other_trace, "a mapping of another trace.*got 000"),
    (other_hardware, "config.hw.act_slots: a mapping of another hw; got 64; expected 72"),
    (other_job, "config.job.n_hi: a mapping of another job; got auto; expected 200"),
    (other_scheme, "layers.model.layers.0.q: no mapping of this layer under stamp"),
    (no_number, "layers.model.layers.1.q: no mapping of this layer under stamp"),
    (too_large, "no layer fits the hardware.*got 128x1; expected at most hw.act_slots = 72")])
def test_a_mapping_of_something_else_is_refused(change: Callable[[dict[str, Any]], None], said: str, toy: Path,
                                                report: dict[str, Any], tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    changed, path = json.loads(json.dumps(report)), tmp_path / "report.json"
    change(changed)
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert program(toy, tmp_path, "--mapping", str(path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line), line
    assert not (tmp_path / "p.json").exists()


def test_a_file_that_is_none_is_refused(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program(toy, tmp_path, "--mapping", str(tmp_path / "none.json")) == 2
    assert "cannot read a mapping" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("[1, 2", encoding="utf-8")
    assert program(toy, tmp_path, "--mapping", str(tmp_path / "bad.json")) == 2
    assert "not JSON" in capsys.readouterr().err
