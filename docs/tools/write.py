"""How every program here writes its pages: whole or not at all, a line a file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from stamp_hw.formats.files import atomic_file

ROOT = Path(__file__).resolve().parents[2]
_LOG = logging.getLogger(__name__)


def write(pages: Mapping[Path, str]) -> None:
    """Write each file's text and name it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for path, text in pages.items():
        with atomic_file(path) as stream:
            stream.write(text)
        _LOG.info("%s", path.relative_to(ROOT))
