"""Which blocks have a testbench; loads nothing else, so that a help text can list them."""

from __future__ import annotations

from pathlib import Path


def blocks() -> tuple[str, ...]:
    """Names of the blocks that have a testbench, sorted."""
    return tuple(sorted(path.stem.removeprefix("tb_") for path in Path(__file__).parents[1].glob("tb_*.py")))
