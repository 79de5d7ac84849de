"""Runs a block's testbench on one of its parameter sets: what pytest, `stamp-hw verify` and `make faults` share."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from cocotb._decorators import TestGenerator

from rtl_gen.verilog import emit
from stamp_hw.errors import ConfigError
from tb.bench.layout import Port, ports_of
from tb.run.blocks import blocks
from tb.run.fault import Fault
from tb.run.simulator import BUILD_ROOT, Result, simulate

WORDS_PER_BLOCK = 1_000_000  # output words that a block's parameter sets compare in total
_LOG = logging.getLogger(__name__)


class BrokenBenchError(AssertionError):
    """A testbench or a simulator that broke, and so found nothing."""


@functools.cache
def fresh_seed() -> int:
    """STAMP_SEED if it is set, else a new one for this process; logged once. Raises ConfigError for no number."""
    given = os.environ.get("STAMP_SEED")
    if given and not (given.isascii() and given.isdigit() and len(given) < 20):
        raise ConfigError("not a seed", where="STAMP_SEED", got=given,
                          expected="a whole number from 0 on, of at most 19 digits")
    seed = int(given) if given else secrets.randbelow(2**31)
    _LOG.info("STAMP_SEED=%d", seed)
    return seed


def bench_module(block: str) -> ModuleType:
    """The testbench of a block; raises ConfigError for an unknown one."""
    if block not in blocks():
        raise ConfigError("unknown block", where="block", got=block, expected=" or ".join(blocks()))
    return importlib.import_module(f"tb.tb_{block}")


def tests_of(bench: ModuleType) -> tuple[str, ...]:
    """Names of a bench's tests, in the order of its source."""
    return tuple(name for name, value in vars(bench).items() if isinstance(value, TestGenerator))


def reproduce(block: str, set_name: str, seed: int, *, tests: Sequence[str] | None = None, words: int | None = None,
              config: str | os.PathLike[str] | None = None, hw: Sequence[str] = (), trace: str | None = None) -> str:
    """The command that repeats a run, quoted for a shell."""
    command = ["stamp-hw", "verify", "--block", block, "--set", set_name, "--seed", str(seed)]
    for option, value in (("--config", config), *(("--hw", word) for word in hw), ("--trace", trace),
                          ("--words", words), *(("--test", name) for name in tests or ())):
        if value is not None:
            command += [option, str(value)]
    return shlex.join(command)


def elaborate(bench: ModuleType, params: Any, top: str, fault: Fault | None = None, field_wires: bool = False
              ) -> tuple[dict[str, str], tuple[Port, ...]]:
    """Verilog of the bench's component, and its ports. Raises ValueError for a fault that changes nothing."""
    def emitted() -> dict[str, str]:
        return emit.verilog(bench.build(params), top, style=emit.Style(field_wires=field_wires))

    component = bench.build(params)
    component._MustUse__used = True  # only its signature is read; Amaranth warns of what is never elaborated
    ports = ports_of(component)
    if fault is None:
        return emitted(), ports
    with fault.apply():
        faulty = emitted()
    faulty = fault.edited(faulty)
    if faulty == emitted():
        raise ValueError(f"fault {fault.block}.{fault.name} leaves the Verilog as it was")
    return faulty, ports


def run_block(block: str, set_name: str, seed: int, *, waves: bool = False, waves_from: int = 0,
              fault: Fault | None = None, tests: Sequence[str] | None = None, words: int | None = None,
              check: bool = True, bench: ModuleType | None = None, params: Any = None, root: Path = BUILD_ROOT
              ) -> Result:
    """Build and simulate one parameter set of a block.

    Parameters
    ----------
    waves, waves_from : leave a waveform (`Result.wave`), from that time on, in steps of 1 ps
    fault : a mistake to seed; the caller then expects `passed` to be False
    tests : names of the bench's tests, None for all
    words : output words of the `bench.jobs()` loops, None for this set's share of the bench's own `WORDS`, or of
        WORDS_PER_BLOCK
    check : raise AssertionError when a test failed, when nothing was compared, or when all tests together compared
        fewer words than asked for; BrokenBenchError, which is one, when a test crashed
    bench : the testbench, None for `tb.tb_<block>`
    params : parameters from elsewhere than PARAMETER_SETS; `set_name` is then what reports call them

    Raises ConfigError for an unknown block, parameter set or test.
    """
    bench = bench or bench_module(block)
    for name in tests or ():
        if name not in tests_of(bench):
            raise ConfigError("unknown test", where=block, got=name, expected=" or ".join(tests_of(bench)))
    if params is None:
        if set_name not in bench.PARAMETER_SETS:
            raise ConfigError("unknown parameter set", where=block, got=set_name,
                              expected=" or ".join(bench.PARAMETER_SETS))
        params = bench.PARAMETER_SETS[set_name]
    again = reproduce(block, set_name, seed, tests=tests, words=words)
    if words is None:
        words = -(-getattr(bench, "WORDS", WORDS_PER_BLOCK) // len(bench.PARAMETER_SETS))
    top = f"stamp_{block}"
    files, ports = elaborate(bench, params, top, fault, field_wires=waves)
    result = simulate(files, top, bench.__name__, ports, params, block=block, set_name=set_name, seed=seed, words=words,
                      waves=waves, waves_from=waves_from, tests=tests, root=root)
    _LOG.info("%s %s seed %d: %d words, %d cycles, %.1f s (build %.1f s)", block, set_name, seed, result.words,
              result.cycles, result.seconds, result.build_seconds)
    if check:
        where, again = f"block {block}, set {set_name}", f"seed {seed}; again: {again}"
        if not result.passed:
            raise (BrokenBenchError if result.crashed else AssertionError)(
                f"{where}, {' || '.join(result.failures)}; {again}; log: {result.log}")
        if not result.words:
            raise AssertionError(f"{where}: nothing compared; {again}")
        if tests is None and result.words < words:
            raise AssertionError(f"{where}: {result.words} words compared, {words} wanted; {again}")
    return result


def catch(fault: Fault, seed: int, words: int = 20_000, bench: ModuleType | None = None, root: Path = BUILD_ROOT
          ) -> Result:
    """Seed `fault` and run the block's regression on `words` output words; it must fail, and for no other reason.

    Raises AssertionError when the regression passes, BrokenBenchError when the testbench crashed instead of finding a
    difference.
    """
    bench = bench or bench_module(fault.block)
    set_name = fault.set_name or next(iter(bench.PARAMETER_SETS))
    result = run_block(fault.block, set_name, seed, fault=fault, tests=fault.tests, words=words, check=False,
                       bench=bench, root=root)
    named = f"fault {fault.block}.{fault.name} ({fault.why}), set {set_name}, seed {seed}"
    if result.crashed:
        raise BrokenBenchError(f"{named}: the testbench crashed: {' || '.join(result.failures)}; log: {result.log}")
    if result.passed:
        raise AssertionError(f"{named}: the regression passed")
    return result
