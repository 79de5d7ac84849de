"""`stamp-hw trace info`: a line a layer with its figures, outliers by name, and nothing of a hostile trace."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from stamp_hw.errors import StampError
from stamp_hw.formats.trace import TraceWriter
from tests.support.dump_cases import command


def test_info_prints_every_layer_with_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.full((4, 3), 0.5)
    x[0] = 900.0  # a sink: outside s_x and the headroom
    with TraceWriter(tmp_path / "t", {"model": "m\x1b[2J", "calibration": "static: 2 sequences"}) as writer:
        writer.add_input("x", x, "float16")
        writer.add_layer(name="low", kind="q", input_key="x", weight=np.ones((7, 3)), outliers=[0], s_x=1e-3, s_y=1.0)
        writer.add_layer(name="high", kind="k", input_key="x", weight=np.ones((7, 3)), outliers=[0], s_x=1e-4, s_y=1.0)
    assert command("info", str(tmp_path / "t")) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["low"] == ["low", "q", "4", "3", "7", "4", "float16", "1", "1.000e-03", "0.5", "500*"]
    assert rows["high"][-1] == "5000" and "static: 2 sequences" in out and "\x1b" not in out
    assert hashlib.sha256((tmp_path / "t").read_bytes()).hexdigest() in out


def test_info_of_a_trace_of_nothing_but_outliers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.full((1, 3), 2.0), "float32")
        writer.add_layer(name="one", kind="q", input_key="x", weight=np.ones((2, 3)), outliers=[0])
    assert command("info", str(tmp_path / "t")) == 0
    assert "token 0 (1 ×)" in capsys.readouterr().out


def test_info_refuses_a_hostile_trace(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\x80\x04pickled rubbish")
    with pytest.raises(StampError):
        command("info", str(tmp_path / "t"))
