"""Builds whose coverage is measured: every parameter set of a testbench but those that cost much and add nothing."""

from __future__ import annotations

from collections.abc import Mapping

from tb.run.block import bench_module

LEFT_OUT: Mapping[str, Mapping[str, str]] = {  # block → parameter set → why
    "engine": {"16x16": "the modules of 8x8 with wider words and more rows, and the longest to build; the regression "
                        "runs it"},
}


def measured(block: str) -> tuple[str, ...]:
    """Parameter sets of a block to measure. Raises ConfigError for an unknown block."""
    return tuple(name for name in bench_module(block).PARAMETER_SETS if name not in LEFT_OUT.get(block, {}))
