"""Time and memory of a process that answers the architect's question: a whole Llama-3-8B under every scheme, with a
rate alone, behind the one port of an external memory, and with super-tiles searched.
"""

from __future__ import annotations

import os
import subprocess
import sys

from stamp_hw.rooms import HOME

WORDS = ("simulate", "--model", "llama-3-8b", "--prefill", "2048", "--decode", "256", "--config",
         str(HOME / "configs" / "npu32.yaml"))
#: Name of a case → what it asks for beside `WORDS`.
CASES: dict[str, tuple[str, ...]] = {
    "model": (), "memory": ("--hw", "memory=LPDDR5"), "searched": ("--mapping", "searched")}
REPEATS = 5


def measure() -> dict[str, float]:
    """Of each case `llama3_8b_…_s` seconds of a processor from the start of Python to the end, the best of some, and
    `llama3_8b_…_mb` the most memory that one held."""
    figures = {}
    for name, words in CASES.items():
        found = [_once(*WORDS, *words) for _ in range(REPEATS)]
        figures[f"llama3_8b_{name}_s"] = min(seconds for seconds, _ in found)
        figures[f"llama3_8b_{name}_mb"] = max(megabytes for _, megabytes in found)
    return figures


def _once(*words: str) -> tuple[float, float]:
    process = subprocess.Popen([sys.executable, "-m", "stamp_hw", *words], stdout=subprocess.DEVNULL, cwd=HOME)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"stamp-hw {' '.join(words)} ended with {process.returncode}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
