"""Results of long runs as JSON files in build/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path`, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    fresh.replace(path)
