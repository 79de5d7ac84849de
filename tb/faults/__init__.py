"""Faults seeded into the generated RTL: what the regression must catch.

Each `tb/faults/<block>.py` exports `FAULTS`, a tuple of `tb.run.fault.Fault`; `stamp-hw verify faults` runs them.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from tb.run.fault import Fault


def table(block: str) -> tuple[Fault, ...]:
    """The faults of a block."""
    found: tuple[Fault, ...] = importlib.import_module(f"tb.faults.{block}").FAULTS
    return found


def blocks() -> tuple[str, ...]:
    """Blocks that have faults, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))
