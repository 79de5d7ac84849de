"""Runs of `stamp-hw eval` that tests share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stamp_hw.cli.main import main

LLAMA = Path(__file__).parents[2] / "models" / "llama_small"


def evaluated(tmp_path: Path, *argv: str) -> dict[str, dict[str, Any]]:
    """Rows of the report by scheme."""
    out = tmp_path / "eval.json"
    assert main(["eval", *argv, "--json", str(out)]) == 0
    return {row["scheme"]: row for row in json.loads(out.read_text("utf-8"))["rows"]}


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line of an evaluation that is refused with exit code 2."""
    assert main(["eval", *argv]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line.startswith("stamp-hw: ") and len(line) < 1500
    return line


def llama(*more: str, windows: int = 3) -> list[str]:
    return ["--model", str(LLAMA), "--text", str(LLAMA / "heldout.txt"), "--sequences", str(windows), *more]
