"""What the program prints fits 100 columns: the help of every command, the rows of `verify bench`, `doctor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from docs.tools.reference import parsers
from rtl_gen import toolchain
from rtl_gen.commands import doctor
from stamp_hw.cli.main import parser
from stamp_hw.text import WIDTH
from tb.commands import bench
from tb.run.block import bench_module
from tb.run.blocks import blocks
from tb.run.regression import Job, Outcome, Wrong
from tb.run.simulator import Result

NAMED = dict(parsers())
MOST = 99_999_999  # of words, cycles and beats; the shipped sets have a tenth of that


def too_wide(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > WIDTH]


@pytest.mark.parametrize("columns", [80, WIDTH])
@pytest.mark.parametrize("name", ["", *NAMED])
def test_no_help_is_wider_than_100_columns(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = (NAMED[name] if name else parser()).format_help()
    assert said.startswith("usage: stamp-hw") and not too_wide(said)


def test_every_word_is_among_the_commands_that_were_looked_at() -> None:
    assert {"verify mutate", "verify bench", "trace dump", "generate", "bench"} <= set(NAMED) and len(NAMED) > 20


def outcome(job: Job, **changed: object) -> Outcome:
    result = Result(block=job.block, set_name=job.set_name, seed=1, words=MOST, mismatches=0, cycles=MOST,
                    timed_beats=MOST, cycle_differences=0, event_differences=0, events={}, tests={}, failures=(),
                    crashed=False, log=Path("log"), wave=None, seconds=9999.9)
    return Outcome(job=job, result=replace(result, **changed), wrong=(), waves=())  # type: ignore[arg-type]


def test_no_row_of_the_bench_is_wider_than_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Of every parameter set, with the largest numbers and every verdict."""
    jobs = [Job(block=block, set_name=name, params=None, tests=None) for block in blocks()
            for name in bench_module(block).PARAMETER_SETS]
    ends = [outcome(job) for job in jobs]
    ends[:3] = [outcome(jobs[0], failures=("one: differs",), mismatches=999_999, cycle_differences=999_999),
                outcome(jobs[1], crashed=True, event_differences=999_999),
                replace(outcome(jobs[2], words=0), wrong=(Wrong(test="", line="nothing"),))]
    done: list[Outcome] = []
    bench._show(jobs, iter(ends), done)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(jobs) + 2 > 30 and len(done) == len(jobs)
    assert {line.split()[-1] for line in lines[2:]} == {"ok", "FAILED", "BROKEN", "NOTHING"}
    assert not too_wide("\n".join(lines))
    start = lines[0].index("─")
    assert [lines[1].split()[-4:], lines[1][start:].split()] == [["words", "cycles", "events", "seconds"]] * 2


def test_doctor_fits_100_columns_but_for_a_path_that_alone_does_not(capsys: pytest.CaptureFixture[str],
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    real = toolchain.tools()
    for found in (True, False):
        shown = [replace(tool, found=found, path="/" + "p" * 95 if found else "") for tool in real]
        monkeypatch.setattr(toolchain, "tools", lambda shown=shown: shown)
        doctor.run()
        said = capsys.readouterr().out
        assert said.count("p" * 95) == len(real) * found and not too_wide(said)
        assert all(said.count(tool.name) >= 1 + (not found) for tool in real)
    one = replace(real[0], found=True, version="1", path="/short")
    monkeypatch.setattr(toolchain, "tools", lambda: (one,))
    doctor.run()
    assert f"{one.name}  1  /short\n" in capsys.readouterr().out
