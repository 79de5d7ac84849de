"""What a regression found, for other programs: JUnit's XML, which every CI shows, and JSON with all there is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any
from xml.etree import ElementTree

from rtl_gen import toolchain
from stamp_hw.config import NpuConfig
from stamp_hw.errors import printable
from tb.bench.harness import params_to_json
from tb.run.regression import Outcome, Settings, Wrong

_PACKAGES = ("stamp-hw", "numpy", "amaranth", "cocotb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run: `config` is None where the benches' own parameter sets ran; `again` is the command that repeats it;
    `unfinished` says what ended it before its end, and is empty otherwise."""

    settings: Settings
    config: NpuConfig | None
    again: str
    planned: int
    outcomes: Sequence[Outcome]
    unfinished: str


def tools() -> dict[str, str]:
    """Versions of all that has a say in the result."""
    return {"python": ".".join(map(str, sys.version_info[:3])),
            **{name: metadata.version(name) for name in _PACKAGES},
            "verilator": toolchain.verilator()[0].version, "g++": toolchain.program("g++").version}


def document(report: Report, exit_code: int | None) -> dict[str, Any]:
    """The JSON document. `exit_code` is None where the run did not come to its end."""
    settings = report.settings
    return {"again": report.again, "exit_code": exit_code, "unfinished": report.unfinished or None,
            "seed": settings.seed, "words": settings.words, "trace": settings.trace, "tools": tools(),
            "config": report.config.to_dict() if report.config else None, "planned": report.planned,
            "rows": [_row(outcome, settings) for outcome in report.outcomes]}


def _row(outcome: Outcome, settings: Settings) -> dict[str, Any]:
    job, result = outcome.job, outcome.result
    figures = {name: getattr(result, name) for name in (
        "words", "mismatches", "cycles", "timed_beats", "cycle_differences", "event_differences", "runs")}
    return {"block": job.block, "set": job.set_name, "params": params_to_json(job.params)["fields"], **figures,
            "seconds": round(result.seconds, 3), "build_seconds": round(result.build_seconds, 3),
            "verdict": outcome.verdict, "events": dict(result.events),
            "tests": {name: {"words": words, "seconds": result.test_seconds.get(name),
                             **({"nothing_to_do": result.idle[name]} if name in result.idle else {})}
                      for name, words in result.tests.items()},
            "wrong": [asdict(wrong) for wrong in outcome.wrong],
            "log": str(result.log) if result.log.is_file() else None,
            "waves": [{"test": wave.test, "path": str(wave.path) if wave.path else None, "say": wave.say}
                      for wave in outcome.waves],
            "again": settings.again(job, job.tests)}


def junit(report: Report) -> str:
    """A suite a parameter set, a case a test; what no test said is a case of its own, `simulation` or `run`."""
    root = ElementTree.Element("testsuites", name="stamp-hw verify")
    for outcome in report.outcomes:
        _suite(root, outcome, report.settings)
    if report.unfinished:
        suite = ElementTree.SubElement(root, "testsuite", name="run")
        case = ElementTree.SubElement(suite, "testcase", classname="run", name="run")
        _add(case, "error", f"ended after {len(report.outcomes)} of {report.planned} parameter sets: "
             f"{report.unfinished}", [f"again: {report.again}"])
    for element in (root, *root):
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(name, str(sum(1 for _ in element.iter(tag))))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _suite(root: ElementTree.Element, outcome: Outcome, settings: Settings) -> None:
    job, result = outcome.job, outcome.result
    name = f"{job.block}.{job.set_name}"
    suite = ElementTree.SubElement(root, "testsuite", name=name, time=f"{result.seconds:.3f}")
    properties = ElementTree.SubElement(suite, "properties")
    for key in ("words", "mismatches", "cycles", "cycle_differences", "event_differences"):
        ElementTree.SubElement(properties, "property", name=key, value=str(getattr(result, key)))
    ElementTree.SubElement(properties, "property", name="seed", value=str(settings.seed))
    wrong = {one.test: one for one in outcome.wrong}
    for test in (*job.names, *({""} & set(wrong))):
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=test or "simulation",
                                      time=f"{result.test_seconds.get(test, 0.0):.3f}")
        if test in wrong:
            _fail(case, wrong[test], outcome, settings)
        elif test not in result.tests:
            _add(case, "skipped", "did not run: the simulation ended before")
        elif test in result.idle:
            _add(case, "skipped", result.idle[test] or "nothing to compare")


def _fail(case: ElementTree.Element, wrong: Wrong, outcome: Outcome, settings: Settings) -> None:
    tests = (wrong.test,) if wrong.test else outcome.job.tests
    more = [f"again: {settings.again(outcome.job, tests)}",
            *(f"waveform: {wave}" for wave in outcome.waves if wave.test in ("", wrong.test))]
    if outcome.result.log.is_file():
        more.append(f"log: {outcome.result.log}")
    _add(case, "error" if wrong.broken else "failure", wrong.line.removeprefix(f"{wrong.test}: "), more)


def _add(case: ElementTree.Element, tag: str, message: str, more: Iterable[str] = ()) -> None:
    """What became of a case: its first line as the message, all of it as text, in characters that XML has."""
    lines = [printable(line) for line in message.splitlines()]
    element = ElementTree.SubElement(case, tag, message=lines[0] if lines else "")
    element.text = "\n".join([*lines, *map(printable, more)]) if tag != "skipped" else None
