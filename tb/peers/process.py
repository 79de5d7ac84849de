"""Processes of the peers' environment and of this program: what they answer, and the CPU time of the whole process."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stamp_hw import rooms
from stamp_hw.errors import StampError

#: A thread each: what is compared is work, not how it is spread.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LAST = 300  # characters of what a process that failed said


def ask(python: Path, script: str, question: Any) -> tuple[Any, float]:
    """(answer, CPU seconds) of a script beside this file under the peers' Python. Raises StampError where there is
    none, or it fails."""
    if not python.is_file():
        raise StampError("no environment of the peers", where=str(python), expected="what `make peers` makes")
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "question.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        seconds = _run([str(python), str(Path(__file__).with_name(script)), str(asked), str(answer)], Path(folder))
        return json.loads(answer.read_text(encoding="utf-8")), seconds


def command(*words: str) -> float:
    """CPU seconds of a process of this program. Raises StampError where it fails."""
    return _run([sys.executable, "-m", "stamp_hw", *words], rooms.HOME)


def _run(words: list[str], folder: Path) -> float:
    before = _cpu_seconds()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT},
                          check=False)
    if done.returncode:
        raise StampError("a process failed", where=" ".join(words[1:3]), got=done.stderr.strip()[-_LAST:],
                         expected="exit code 0")
    return _cpu_seconds() - before


def _cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
