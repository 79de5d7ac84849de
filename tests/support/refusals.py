"""What the tests of bad input share: a command that must be refused, and what it left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from stamp_hw.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TRACE = ROOT / "models" / "traces" / "llama_small.safetensors"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; returns its one line."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("stamp-hw: "), captured.err
    assert "Traceback" not in captured.err
    return lines[0]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
