"""Builds a component with Verilator and runs a testbench on it.

Builds are cached under `build/rtl/<hash>` of the checkout, or of the folder that STAMP_BUILD names; the hash covers the
Verilog, the flags and the versions of the tools, so nothing is ever stale. A build is made in a temporary folder under
a file lock and renamed, which makes it safe for several processes at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cocotb_tools import check_results
from cocotb_tools import config as cocotb_config
from cocotb_tools import runner as cocotb_runner

from rtl_gen import toolchain
from rtl_gen.verilog.declared import ports
from stamp_hw.errors import BuildError, OutputError, StampError, ToolError
from stamp_hw.rooms import build_folder
from tb.batch import program as main_program
from tb.bench.harness import CONTEXT, params_to_json
from tb.bench.layout import Port, to_json

BUILD_ROOT = build_folder().resolve()
ELSEWHERE = "STAMP_BUILD=DIR in the environment or `verify --build-dir DIR`, a folder to build in"
FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal")
# the model itself runs briefly and is compiled often; Verilator's runtime (GLOBAL) is compiled once, see _Verilator
MAKE_FLAGS = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O2"
LONG_RUN = "OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O2"  # a large model takes twice as long to compile, and runs faster
VCD, FST = "vcd", "fst"  # formats of a waveform, and how its file is called
_CAUSE = re.compile(r"%Error|\berror\b|\*\*\*|No space left|undefined reference", re.IGNORECASE)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a test failed with, `steps` of 1 ps after it began; `crashed` where it is no difference but an error."""

    test: str
    message: str
    crashed: bool
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one simulator process found.

    Words are output values compared in `runs` of the block; a timed beat had its cycle predicted. `failures` holds a
    line a failed test, `failed` what they said themselves, `reasons` why a test had nothing to do, `test_seconds` how
    long each took; `crashed` says that one of them was an error of the testbench or the simulator, not a difference it
    found.
    """

    block: str
    set_name: str
    seed: int
    words: int
    mismatches: int
    cycles: int
    timed_beats: int
    cycle_differences: int
    event_differences: int
    events: Mapping[str, int]
    tests: Mapping[str, int]
    failures: tuple[str, ...]
    crashed: bool
    log: Path
    wave: Path | None
    seconds: float
    build_seconds: float = field(default=0.0)
    runs: int = field(default=0)
    hung: bool = field(default=False)
    reasons: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()
    test_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """No test failed, and at least one ran."""
        return not self.failures and bool(self.tests)

    @property
    def idle(self) -> dict[str, str]:
        """Tests that ran and compared no word, and the reason they gave: their input, a trace for one, does not fit."""
        return {name: self.reasons.get(name, "") for name, words in self.tests.items() if not words}


class _Verilator(cocotb_runner.Verilator):
    """cocotb's runner with the repaired tool, without `--public-flat-rw`, our environment on top of the user's, and
    the main program of tb/batch in place of cocotb's.

    `runtime` is a folder of Verilator's own object files (`verilated*.o`), the same for every model: they take most of
    a small build's time, so the first build leaves them there and later ones copy them before `make` runs.
    """

    def __init__(self, program: str, env: Mapping[str, str], runtime: Path | None = None, limit: float | None = None,
                 waves: str = "") -> None:
        super().__init__()
        self.log.setLevel(logging.ERROR)
        self._program, self._overrides, self._runtime, self._limit = program, dict(env), runtime, limit
        self._format = waves

    def _simulator_in_path_build_only(self) -> None:
        self.executable = self._program

    def _set_env_common(self) -> None:
        # cocotb lays os.environ over `extra_env`; a stray PYTHONWARNINGS or MAKEFLAGS of the user would win
        super()._set_env_common()
        self.env.update(self._overrides)
        self.env["PATH"] += os.pathsep + os.environ.get("PATH", "")

    def _execute_cmds(self, cmds: Sequence[Any], cwd: Any, stdout: Any = None) -> None:
        for command in cmds:  # as cocotb does, with a limit; every run here writes a log
            done = subprocess.run(command, cwd=cwd, env=self.env, check=False, stdout=stdout, stderr=subprocess.STDOUT,
                                  timeout=self._limit)
            if done.returncode:
                raise RuntimeError(f"Command failed with return code: {done.returncode}")

    def _build_command(self) -> list[Any]:
        verilate, make = super()._build_command()
        objects = [str(path) for path in self._runtime.glob("*.o")] if self._runtime and self._runtime.is_dir() else []
        # copied after Vtop.mk is written, so that make finds them newer than it
        copy = [["cp", *objects, str(self.build_dir)]] if objects else []
        others = {"--trace": "--trace-fst"} if self._format == FST else {}
        words = [main_program.SOURCES[0].name if word.endswith("verilator.cpp") else others.get(word, word)
                 for word in verilate if word != "--public-flat-rw"]
        return [[*words, "-LDFLAGS", "-rdynamic"], *copy, make]  # Python calls functions of the program

    def keep_runtime(self) -> None:
        """Leave the object files of Verilator's runtime for later builds."""
        if self._runtime is None or self._runtime.is_dir():
            return
        made = Path(tempfile.mkdtemp(dir=self._runtime.parent, prefix=f"{self._runtime.name}."))
        for path in self.build_dir.glob("verilated*.o"):
            shutil.copy(path, made)
        try:
            made.rename(self._runtime)
        except OSError:  # another process was faster
            shutil.rmtree(made)


def check_folder(root: Path = BUILD_ROOT) -> None:
    """Make a build folder. Raises OutputError where nothing can be written in it."""
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass


def check_root(root: Path = BUILD_ROOT) -> None:
    """`check_folder`, and ToolError where `make` cannot build, before anything is made."""
    for what, path in (("build folder", root), ("cocotb", Path(cocotb_config.libs_dir)),
                       ("Verilator", Path(toolchain.verilator()[0].path))):
        if re.search(r"\s", str(path)):
            raise ToolError(f"make cannot build with a space in the path of the {what}", where=str(path),
                            expected=ELSEWHERE if path == root else "a checkout, with its .venv, in a path without one")
    check_folder(root)


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """What the file system refuses below a build folder, as an OutputError that says how to have another."""
    try:
        yield
    except OSError as error:
        place = Path(error.filename or root)  # a file in the way, or a temporary one that there never was
        raise OutputError("cannot write", where=str(place if place.exists() else root),
                          got=error.strerror or str(error), expected=ELSEWHERE) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _control_file(top: str, ports: Sequence[str]) -> str:
    """Only the top's ports are visible to the testbench; warnings of generated files are the lint run's business."""
    public = "".join(f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports)
    return f'`verilator_config\nlint_off -file "*.v"\n{public}'


def _port_names(text: str) -> list[str]:
    return [port.name for port in ports(text)]


def wave_format() -> str:
    """FST where what Verilator's writer needs is there (the headers of lz4 and zlib, and the libraries), else VCD,
    which is ten times the size and more. Raises ToolError without a compiler."""
    probe = "#include <lz4.h>\n#include <zlib.h>\nint main() { return !LZ4_versionNumber() || !zlibVersion(); }\n"
    done = subprocess.run(["g++", "-x", "c++", "-", "-o", os.devnull, "-llz4", "-lz"], input=probe, text=True,
                          env=toolchain.verilator_env(), capture_output=True, check=False)
    return VCD if done.returncode else FST


def build(files: Mapping[str, str], top: str, waves: str = "", root: Path = BUILD_ROOT, flags: Sequence[str] = (),
          make: str = MAKE_FLAGS) -> tuple[Path, float]:
    """Folder with the simulator of the Verilog `files` (program `top`), and the seconds spent (0.0 if it was there).

    `waves` is VCD or FST for one that can write a waveform; `flags` are options of Verilator on top of FLAGS, `make`
    says how the compiler optimizes: MAKE_FLAGS or LONG_RUN.

    Raises ToolError when a tool is missing, OutputError as `check_root` does, and BuildError when the build fails; its
    log stays beside the cache.
    """
    env = toolchain.verilator_env()
    check_root(root)
    env["MAKEFLAGS"] += f" {make}"
    tool, compiler = toolchain.verilator()[0], toolchain.program("g++")
    tools = [(*FLAGS, *flags), make, waves, tool.version, tool.path, compiler.version, version("cocotb")]
    own = [path.read_text("utf-8") for path in main_program.SOURCES] + [main_program.header(files[f"{top}.v"], top)]
    control = _control_file(top, _port_names(files[f"{top}.v"]))
    cache = root / "rtl" / _digest([*tools, dict(files), top, control, own])
    if cache.is_dir():
        return cache, 0.0
    with _writing(root), _locked(root / "rtl" / f"{cache.name}.lock"):
        if cache.is_dir():
            return cache, 0.0
        start = time.monotonic()
        made = Path(tempfile.mkdtemp(dir=root / "rtl", prefix=f"{cache.name}."))
        log, kept = made / "build.log", root / "rtl" / f"{cache.name}.failed.log"
        try:
            runtime = root / "rtl" / f"runtime-{_digest(tools)}"
            try:
                _build(files, top, bool(waves), flags, made, _Verilator(tool.path, env, runtime, waves=waves))
            except (RuntimeError, SystemExit) as error:
                raise _why(log.read_text("utf-8", "replace") if log.is_file() else str(error), top, kept) from error
            made.rename(cache)
        except BaseException:
            if log.is_file():
                shutil.copy(log, kept)
            shutil.rmtree(made, ignore_errors=True)
            raise
        seconds = time.monotonic() - start
        _LOG.info("built %s in %.1f s: %s", top, seconds, cache)
        return cache, seconds


def _digest(key: object) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]


def _build(files: Mapping[str, str], top: str, waves: bool, flags: Sequence[str], folder: Path, verilator: _Verilator
           ) -> None:
    sources = []
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
        sources.append(folder / name)
    control = folder / "ports.vlt"
    control.write_text(_control_file(top, _port_names(files[f"{top}.v"])), "utf-8")
    (folder / main_program.HEADER).write_text(main_program.header(files[f"{top}.v"], top), "utf-8")
    for source in main_program.SOURCES:  # beside what is made of them: a path of the checkout may hold a space
        shutil.copy(source, folder)
    verilator.build(sources=[control, *sources], hdl_toplevel=top, build_args=(*FLAGS, *flags), build_dir=folder,
                    always=True, timescale=("1ns", "1ps"), waves=waves, log_file=folder / "build.log")
    verilator.keep_runtime()
    for path in folder.iterdir():  # objects and generated C++ are many megabytes
        if path.name not in (top, "build.log") and path.suffix not in (".v", ".vlt"):
            path.unlink()


def _why(log: str, top: str, kept: Path) -> StampError:
    """The error of a build that ended so: the lines that say why, in front of whatever a tool prints besides."""
    toolchain.check_memory("verilator", log)
    lines = log.strip().splitlines()
    causes = [line.strip() for line in lines if _CAUSE.search(line)] or lines[-1:]
    return BuildError(f"build of {top} failed", where=str(kept), got=" | ".join(causes[:2]))


def simulate(files: Mapping[str, str], top: str, module: str, ports: Sequence[Port], params: Any, *, block: str,
             set_name: str, seed: int, words: int = 0, waves: bool = False, tests: Sequence[str] | None = None,
             waves_from: int = 0, root: Path = BUILD_ROOT, flags: Sequence[str] = (), plusargs: Sequence[str] = (),
             limit: float | None = None, context: Mapping[str, Any] | None = None, make: str = MAKE_FLAGS) -> Result:
    """Build, then run the tests of `module` in a simulator process; never raises for a failing test.

    Parameters
    ----------
    files, top : the Verilog, as `rtl_gen.verilog.emit.verilog` gives it, and its top module
    module : importable name of the testbench
    ports : what `tb.bench.layout.ports_of` says of the component
    params : the component's parameter object, a dataclass, for `Bench.params`
    words : output words this run is to compare in its `bench.jobs()` loops
    tests : names of the tests to run, None for all
    waves : trace every signal; `Result.wave` is the file, of `wave_format`
    waves_from : time at which the waveform begins, in steps of 1 ps
    flags, plusargs : more options of Verilator, and of the program it makes
    limit : seconds after which the simulation is ended; `Result.hung`
    context : more of what the testbench is told
    make : as of `build`
    """
    kind = wave_format() if waves else ""
    program, build_seconds = build(files, top, kind, root, flags, make)
    with _writing(root):
        (root / "sim").mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root / "sim", prefix=f"{block}-{set_name}-{seed}."))
        totals, told = folder / "totals.json", folder / "context.json"
        told.write_text(json.dumps({**(context or {}), "block": block, "set": set_name, "seed": seed, "words": words,
                                    "result": str(totals), "ports": to_json(ports), "params": params_to_json(params)}),
                        "utf-8")
    verilator = _Verilator("", {"PYTHONWARNINGS": "error", CONTEXT: str(told), "COCOTB_ANSI_OUTPUT": "0",
                                "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, limit=limit)
    log, start = folder / "sim.log", time.monotonic()
    ended, hung = "", False
    try:
        verilator.test(test_module=module, hdl_toplevel=top, hdl_toplevel_lang="verilog", build_dir=program, seed=seed,
                       test_dir=folder, waves=waves, testcase=tests, log_file=log,
                       plusargs=(*plusargs, f"+stamp+waves+from={waves_from}"),
                       results_xml=str(folder / "results.xml"))
    except (RuntimeError, SystemExit) as error:
        ended = str(error) or "the simulator failed"
    except subprocess.TimeoutExpired:
        hung = True
    found = json.loads(totals.read_text("utf-8")) if totals.is_file() else {}
    failed = tuple(Failure(**failure) for failure in found.get("failures", []))
    failures = [f"{failure.test}: {failure.message}" for failure in failed]
    ran, wrong = _counts(folder / "results.xml")
    crashed = any(failure.crashed for failure in failed)
    if hung:
        failures.append(f"hang: the simulation did not end within {limit:.0f} s")
    elif not failures and (ended or wrong or not ran):
        crashed = True
        tail = log.read_text("utf-8", "replace").strip().splitlines()[-25:] if log.is_file() else []
        failures = ["\n".join([f"{ended or f'{wrong} of {ran} tests failed'}; end of {log}:", *tail])]
    wave = folder / f"dump.{kind}" if waves else None
    if not failures and wave is None:
        shutil.rmtree(folder)
    return Result(block=block, set_name=set_name, seed=seed, failures=tuple(failures), crashed=crashed, log=log,
                  wave=wave, seconds=time.monotonic() - start, build_seconds=build_seconds, hung=hung,
                  **{name: found.get(name, 0) for name in ("words", "mismatches", "cycles", "timed_beats",
                                                           "cycle_differences", "event_differences", "runs")},
                  events=found.get("events", {}), tests=found.get("tests", {}), reasons=found.get("idle", {}),
                  failed=failed, test_seconds=found.get("seconds", {}))


def _counts(results: Path) -> tuple[int, int]:
    """Tests run and failed, from cocotb's result file."""
    try:
        return check_results.get_results(results)
    except (RuntimeError, OSError):
        return 0, 0
