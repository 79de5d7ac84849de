"""Time and memory of a process that answers the architect's question: a whole Llama-3-8B under every scheme."""

from __future__ import annotations

import os
import subprocess
import sys

from stamp_hw.rooms import HOME

WORDS = ("simulate", "--model", "llama-3-8b", "--prefill", "2048", "--decode", "256", "--config",
         str(HOME / "configs" / "npu32.yaml"))
REPEATS = 5


def measure() -> dict[str, float]:
    """`llama3_8b_model_s` seconds of a processor from the start of Python to the end, the best of some;
    `llama3_8b_model_mb` the most memory that one held."""
    found = [_once() for _ in range(REPEATS)]
    return {"llama3_8b_model_s": min(seconds for seconds, _ in found),
            "llama3_8b_model_mb": max(megabytes for _, megabytes in found)}


def _once() -> tuple[float, float]:
    process = subprocess.Popen([sys.executable, "-m", "stamp_hw", *WORDS], stdout=subprocess.DEVNULL, cwd=HOME)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"stamp-hw {' '.join(WORDS)} ended with {process.returncode}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
