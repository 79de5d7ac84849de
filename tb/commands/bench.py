"""`stamp-hw verify bench`, and `verify` without a word: the blocks' testbenches under Verilator, outside pytest."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stamp_hw import exits
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, count, seed
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, OutputError, StampError
from stamp_hw.formats.files import atomic_file, write_json

if TYPE_CHECKING:
    from tb.run.regression import Job, Outcome, Settings

#: Title and least width of each column; those of DIFFERENT stand below that title. A row has at most 100 characters.
COLUMNS = (("block", 5), ("parameter set", 13), ("words", 8), ("cycles", 8), ("beats", 8), ("words", 6), ("cycles", 6),
           ("events", 6), ("seconds", 7), ("", 0))
DIFFERENT, FIRST = "─── differences in ───", 5
SAYS = """\
Build each block with Verilator and compare values, cycles and events with the
golden and cycle models. All parameter sets take about 15 minutes, a small one
of one block seconds. Builds and logs go to build/ of the checkout, or where
--build-dir or STAMP_BUILD in the environment says. A test that fails runs once
more, alone, for its waveform. A trace of which no layer runs is wrong input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """The options of `stamp-hw verify bench`; None where one is absent."""

    block: str | None
    set_name: str | None
    trace: str | None
    test: Sequence[str] | None
    seed: int | None
    words: int | None
    waves: bool
    jobs: int
    build_dir: Path | None
    junit: Path | None
    json: Path | None

    @property
    def configured(self) -> bool:
        """A configuration's hardware is verified, not the benches' own parameter sets."""
        return self.config is not None or bool(self.hw)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    from tb.run.blocks import blocks

    parser.description = SAYS
    parser.epilog = f"example: `stamp-hw verify --config mine.yaml --junit verify.xml --jobs 2`.\n{exits.HELP}"
    parser.add_argument("--block", metavar="NAME", help=f"only this block: {', '.join(blocks())}")
    parser.add_argument("--set", metavar="NAME", dest="set_name", help="only this parameter set (needs --block)")
    add_hardware(parser, says="this configuration's hardware, not the benches' sets")
    parser.add_argument("--trace", metavar="FILE", help="take real tensors from this trace, not from the shipped one")
    parser.add_argument("--test", metavar="NAME", action="append", help="only this test of the bench (may be repeated)")
    parser.add_argument("--seed", metavar="N", type=seed, help="seed of the random tests, >= 0; a fresh one if absent")
    parser.add_argument("--words", metavar="N", type=count, help="output words to compare in each parameter set, >= 1")
    parser.add_argument("--jobs", metavar="N", type=count, default=1, help="parameter sets at a time (default 1)")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write every test as JUnit XML, for a CI to show")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure, seed, tools and configuration")
    parser.add_argument("--build-dir", metavar="DIR", type=Path, help="builds, logs and waveforms go here")
    parser.add_argument("--waves", action="store_true",
                        help="keep the waveform of every run in waves/ of the build folder, not only of what fails")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Run the chosen benches, printing a row as each ends; the exit code of `stamp_hw.exits`."""
    from tb.run.block import fresh_seed
    from tb.run.processes import stoppable
    from tb.run.regression import Settings, outcomes
    from tb.run.reports import Report, document, junit
    from tb.run.simulator import BUILD_ROOT, check_root

    start = fresh_seed() if options.seed is None else options.seed
    root = BUILD_ROOT if options.build_dir is None else options.build_dir.resolve()
    _check_outputs(options, root)
    if options.trace is not None:
        from stamp_hw.formats.trace import Trace
        with Trace.open(options.trace):
            os.environ["STAMP_TRACE"] = os.path.realpath(options.trace)
    config = options.configuration()
    jobs = _jobs(options, config)
    check_root(root)
    settings = Settings(seed=start, words=options.words, waves=options.waves, root=root, config=options.config,
                        hw=options.hw, trace=options.trace)
    done: list[Outcome] = []
    code, unfinished = None, "interrupted"
    try:
        print(f"seed {start}")
        with stoppable(), closing(outcomes(jobs, settings, options.jobs)) as coming:
            _show(jobs, coming, done)
        code, unfinished = _judge(done, settings), ""
    except StampError as error:
        unfinished = str(error)
        raise
    except Exception as error:
        unfinished = f"{type(error).__name__}: {error}"
        raise
    finally:
        report = Report(settings=settings, config=config if options.configured else None, planned=len(jobs),
                        again=_again(options, start), outcomes=done, unfinished=unfinished)
        if options.junit is not None:
            with atomic_file(options.junit) as stream:
                stream.write(junit(report))
        if options.json is not None:
            write_json(options.json, document(report, code))
    return code


def _check_outputs(options: Options, root: Path) -> None:
    """Raise OutputError for a report in the way of an input, of the other, or of the build folder."""
    outputs = (("--junit", options.junit), ("--json", options.json))
    trace = None if options.trace is None else Path(options.trace)
    check_apart({"--config": options.config, "--trace": trace}, outputs)
    for name, path in outputs:
        if path is not None:
            check_writable(path, folder=False)
            if path.resolve() in (root, *root.parents):
                raise OutputError("output in the way of the build folder", where=f"{name} {path}", got=str(root),
                                  expected="a file of its own")


def _again(options: Options, seed: int) -> str:
    """The command that repeats the whole run, quoted for a shell."""
    words = ["stamp-hw", "verify"]
    for option, value in (("--block", options.block), ("--set", options.set_name), ("--config", options.config),
                          *(("--hw", word) for word in options.hw), *(("--job", word) for word in options.job),
                          ("--trace", options.trace), *(("--test", name) for name in options.test or ()),
                          ("--seed", seed), ("--words", options.words)):
        if value is not None:
            words += [option, str(value)]
    return shlex.join(words)


def _jobs(options: Options, config: NpuConfig) -> list[Job]:
    """Every run that is asked for; a block that has none of the tests asked for is left out."""
    from tb.run.block import bench_module, tests_of
    from tb.run.blocks import blocks
    from tb.run.regression import Job

    if options.set_name is not None and options.block is None:
        raise ConfigError("a parameter set belongs to a block", where="--set", got=options.set_name,
                          expected="--block as well")
    chosen = blocks() if options.block is None else (options.block,)
    known = {block: tests_of(bench_module(block)) for block in chosen}
    for name in options.test or ():
        if not any(name in names for names in known.values()):
            raise ConfigError("unknown test", where="--test", got=repr(name),
                              expected=" or ".join(dict.fromkeys(name for names in known.values() for name in names)))
    jobs = []
    for block, names in known.items():
        tests = None if options.test is None else tuple(name for name in names if name in options.test)
        sets = bench_module(block).PARAMETER_SETS
        if options.configured:
            from rtl_gen.tops import units_of
            sets = {unit.module.removeprefix("stamp_"): unit.params(config.hw) for unit in units_of(config.hw, block)}
        if options.set_name is not None and options.set_name not in sets:
            raise ConfigError("unknown parameter set", where=block, got=options.set_name, expected=" or ".join(sets))
        jobs += [Job(block=block, set_name=name, params=params, tests=tests) for name, params in sets.items()
                 if options.set_name in (None, name) and tests != ()]
    return jobs


def _show(jobs: Sequence[Job], coming: Iterator[Outcome], done: list[Outcome]) -> None:
    """Print a row as each outcome comes, and add it to those that are `done`."""
    block, name, *rest = (width for _, width in COLUMNS)
    widths = [max(block, *(len(job.block) for job in jobs)), max(name, *(len(job.set_name) for job in jobs)), *rest]
    sides = "<<" + ">" * (len(COLUMNS) - 3) + "<"

    def row(cells: Sequence[object]) -> str:
        padded = (f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True))
        return "  ".join(padded).rstrip()

    print(" " * sum(width + 2 for width in widths[:FIRST]) + DIFFERENT)
    print(row([title for title, _ in COLUMNS]))
    for index, job in enumerate(jobs, 1):
        if os.isatty(1):
            print(f"{index} of {len(jobs)}: {job.block} {job.set_name} …", end="\r", flush=True)
        outcome = next(coming)
        done.append(outcome)
        result = outcome.result
        print(row((job.block, job.set_name, result.words, result.cycles, result.timed_beats, result.mismatches,
                   result.cycle_differences, result.event_differences, f"{result.seconds:.1f}", outcome.verdict)),
              flush=True)
        for wave in outcome.waves:
            print(f"    waveform: {wave}", flush=True)


def _judge(done: Sequence[Outcome], settings: Settings) -> int:
    """Say what is wrong, and how to repeat it; the exit code. Raises ConfigError as `_require_the_trace` does."""
    failed = [outcome for outcome in done if outcome.wrong]
    for outcome in failed:
        for wrong in outcome.wrong:
            print(f"{outcome.job.block} {outcome.job.set_name}: {wrong.line}")
        if outcome.result.log.is_file():
            print(f"    log: {outcome.result.log}")
        print(f"    again: {settings.again(outcome.job, outcome.job.tests)}")
    if settings.trace is not None and not any(outcome.result.failures for outcome in done):
        _require_the_trace(settings.trace, done)
    if any(not outcome.result.crashed for outcome in failed):
        return exits.FOUND
    return exits.BROKEN if failed else exits.OK


def _require_the_trace(path: str, done: Sequence[Outcome]) -> None:
    """Raises ConfigError unless a layer of the trace ran in an engine, or a part of one where there was no engine: the
    result of each run says what its tests compared."""
    from tb.bench.harness import TRACE_TESTS

    engines = [outcome.result for outcome in done if outcome.job.block == "engine"]
    idle = {}
    for result in engines or [outcome.result for outcome in done]:
        for test in TRACE_TESTS & set(result.tests):
            if result.tests[test]:
                return
            idle[f"{result.block} {result.set_name}"] = result.idle[test]
    if idle:
        where, why = list(idle.items())[-1]
        raise ConfigError(f"nothing of the trace was compared: {where}: {why}", where=path)
