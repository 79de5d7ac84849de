"""`python -m stamp_hw`, the command `stamp-hw`."""

from __future__ import annotations

import sys

from stamp_hw.cli.main import main
from stamp_hw.rooms import HOME

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python puts the current folder first; a `sim` or `models` in it is not ours, here and in what we start.
        sys.path[0] = str(HOME)
    sys.exit(main())
