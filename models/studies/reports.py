"""Reports of `stamp-hw eval`, each made once for what it is told."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.load.hub import fingerprint, locate
from stamp_hw.cli.main import main as stamp_hw
from stamp_hw.errors import StampError
from stamp_hw.formats.files import write_json


def report(name: str, model: str, words: Sequence[str], folder: Path, jobs: int) -> dict[str, Any]:
    """The report NAME.json of `stamp-hw eval` of a model with these words, from `folder` if it is there and of the same
    command, model and files.

    Raises StampError where the command fails: what it says itself stands on standard error.
    """
    path, asked = folder / f"{name}.json", folder / f"{name}.asked.json"
    command = ["eval", "--model", model, *words]
    wanted = {"command": " ".join(("stamp-hw", *command)), "model": fingerprint(locate(model)),
              "files": _digests(words)}
    if not (path.is_file() and asked.is_file() and json.loads(asked.read_text("utf-8")) == wanted):
        path.unlink(missing_ok=True)
        write_json(asked, wanted)
        with contextlib.redirect_stdout(io.StringIO()):  # the tables of single runs
            code = stamp_hw([*command, "--json", str(path), "--jobs", str(jobs)])
        if code:
            raise StampError("an evaluation failed", where=name, got=f"exit code {code}",
                             expected=" ".join(("stamp-hw", *command)))
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _digests(words: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the files that are named: configuration and texts."""
    return {word: hashlib.sha256(Path(word).read_bytes()).hexdigest() for word in words if Path(word).is_file()}
