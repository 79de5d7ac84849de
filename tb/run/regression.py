"""A regression of chosen benches, one parameter set after another or several at a time, failing tests once more alone
for their waveform: what `stamp-hw verify bench` runs."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stamp_hw.errors import StampError, printable
from tb.run import block
from tb.run.processes import pool
from tb.run.simulator import Failure, Result

WAVE_CYCLES = 20_000  # of a failing test that its waveform holds, the last ones
_PERIOD = 10_000  # steps of 1 ps a cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A bench on one parameter set; `tests` is None for all tests of the bench."""

    block: str
    set_name: str
    params: Any
    tests: tuple[str, ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The tests that run."""
        return block.tests_of(block.bench_module(self.block)) if self.tests is None else self.tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all jobs of a run have in common; the fields from `config` on are for the command that repeats one."""

    seed: int
    words: int | None
    waves: bool
    root: Path
    config: Path | None
    hw: Sequence[str]
    trace: str | None

    def again(self, job: Job, tests: Sequence[str] | None) -> str:
        """The command that repeats these tests of a job."""
        return block.reproduce(job.block, job.set_name, self.seed, tests=tests, words=self.words, config=self.config,
                               hw=self.hw, trace=self.trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something that is not as it must be: `test` is empty where it is not of one test; `line` is what is printed."""

    test: str
    line: str
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Of a test, or of all where `test` is empty: its `path`, None where there is none, and what to `say` of it."""

    test: str
    path: Path | None
    say: str = ""

    def __str__(self) -> str:
        return f"{self.path or 'none'}{f' ({self.say})' if self.say else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job. `wrong` is empty where nothing is."""

    job: Job
    result: Result
    wrong: tuple[Wrong, ...]
    waves: tuple[Waveform, ...]

    @property
    def verdict(self) -> str:
        """The last cell of its row."""
        if self.result.crashed:
            return "BROKEN"
        return "FAILED" if self.result.failures else "NOTHING" if self.wrong else "ok"


def outcomes(jobs: Sequence[Job], settings: Settings, processes: int = 1) -> Generator[Outcome, None, None]:
    """What becomes of each job, in their order; `processes` of them run at a time. To be closed where it is left."""
    if min(processes, len(jobs)) <= 1:
        for job in jobs:
            yield work(job, settings)
        return
    with pool(min(processes, len(jobs))) as workers:
        for future in [workers.submit(work, job, settings) for job in jobs]:
            yield future.result()


def work(job: Job, settings: Settings) -> Outcome:
    """Run one job; a test that fails is run again for its waveform."""
    result = block.run_block(job.block, job.set_name, settings.seed, params=job.params, waves=settings.waves,
                             tests=job.tests, words=settings.words, check=False, root=settings.root)
    waves: tuple[Waveform, ...] = ()
    if result.wave:
        waves = (Waveform(test="", path=_keep(result.wave, job, settings)),)
    elif result.failures and not settings.waves:
        waves = tuple(_once_more(failure, job, settings) for failure in result.failed)
    return Outcome(job=job, result=result, wrong=_wrong(job, result), waves=waves)


def _wrong(job: Job, result: Result) -> tuple[Wrong, ...]:
    found = {f"{failure.test}: {failure.message}": failure for failure in result.failed}
    if result.failures:
        return tuple(Wrong(test=found[line].test, line=line, broken=found[line].crashed) if line in found else
                     Wrong(test="", line=line, broken=result.crashed) for line in result.failures)
    # a test of the whole bench may have nothing to do in a narrow build; one that was asked for by name may not
    if result.words and not (job.tests and result.idle):
        return ()
    return tuple(Wrong(test=test, line=f"nothing compared by {test}" + (f": {why}" if why else ""))
                 for test, why in result.idle.items()) or (Wrong(test="", line="nothing compared by any test"),)


def _once_more(failure: Failure, job: Job, settings: Settings) -> Waveform:
    """The waveform of a test that failed: it runs alone with the same seed, and should fail as before."""
    try:
        second = block.run_block(job.block, job.set_name, settings.seed, params=job.params, waves=True,
                                 waves_from=max(0, failure.steps - WAVE_CYCLES * _PERIOD), tests=(failure.test,),
                                 words=settings.words, check=False, root=settings.root)
        path = _keep(second.wave, job, settings, failure.test) if second.wave and second.wave.is_file() else None
    except StampError as error:  # what was found is no less a finding
        return Waveform(test=failure.test, path=None, say=str(error))
    shutil.rmtree(second.log.parent, ignore_errors=True)
    line = f"{failure.test}: {failure.message}"
    said = "" if line in second.failures else "alone, with the same seed, " + (
        f"it ends otherwise: {printable(second.failures[0].splitlines()[0])}" if second.failures else
        "it does not fail")
    return Waveform(test=failure.test, path=path, say=f"not reproduced: {said}" if said else "")


def _keep(wave: Path, job: Job, settings: Settings, test: str = "") -> Path:
    """Move a waveform to where it stays."""
    name = "-".join(filter(None, (job.block, job.set_name, str(settings.seed), test)))
    kept = settings.root / "waves" / f"{name}{wave.suffix}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(wave, kept)
    return kept
