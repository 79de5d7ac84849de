"""Reports of `stamp-hw eval`, each made once for what it is told."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.load.hub import fingerprint, locate
from stamp_hw.cli.common import check_apart, check_writable
from stamp_hw.cli.main import main as stamp_hw
from stamp_hw.errors import StampError
from stamp_hw.formats.files import write_json
from stamp_hw.rooms import sources_digest

_SOURCES = ("models/evaluate", "models/dump", "models/load")  # beside the golden model, what decides a report
_INTERRUPTED = 130  # exit code of a command that the terminal ended


def report(name: str, model: str, words: Sequence[str], folder: Path, jobs: int) -> dict[str, Any]:
    """The report NAME.json of `stamp-hw eval` of a model with these words, from `folder` if it is there and of the same
    command, model and files.

    Raises StampError where the command fails: what it says itself stands on standard error.
    """
    path, asked = folder / f"{name}.json", folder / f"{name}.asked.json"
    command = ["eval", "--model", model, *words]
    wanted = {"command": " ".join(("stamp-hw", *command)), "model": fingerprint(locate(model)),
              "files": _digests(words), "sources": sources_digest("stamp_hw", *_SOURCES)}
    if (there := _read(path)) is not None and _read(asked) == wanted:
        return there
    with contextlib.redirect_stdout(io.StringIO()):  # the tables of single runs
        code = stamp_hw([*command, "--json", str(path), "--jobs", str(jobs)])
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    found = _read(path)
    if code or found is None:
        raise StampError("an evaluation failed", where=name, got=f"exit code {code}", expected="0")
    write_json(asked, wanted)
    return found


def check_outputs(inputs: Mapping[str, Path | None], out: Path, folder: Path) -> None:
    """Raise OutputError where a study's JSON or folder of reports cannot be made, or would replace an input."""
    check_writable(folder, folder=True)
    check_writable(out, folder=False)
    for output in (("--json", out), ("--folder", folder)):  # one may lie in the other
        check_apart(inputs, [output])


def _read(path: Path) -> dict[str, Any] | None:
    """An object of JSON; None where there is none, or not whole."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digests(words: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the files that are named: configuration and texts."""
    return {word: hashlib.sha256(Path(word).read_bytes()).hexdigest() for word in words if Path(word).is_file()}
