"""`python -m tests.support.verify_moods WORD …`: `stamp-hw verify WORD …` whose only bench is pilot_moods.py."""

from __future__ import annotations

import sys

from stamp_hw.cli.main import main
from tb.run import block
from tests.support import pilot_moods


def known() -> None:
    """Let `verify` know the block `pilot` and no other."""
    block.blocks = lambda: ("pilot",)
    block.bench_module = lambda _block: pilot_moods


if __name__ == "__main__":
    known()
    sys.exit(main(["verify", "--block", "pilot", *sys.argv[1:]]))
