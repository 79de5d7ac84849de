"""Inside the simulator: the tests of a unit's bench on one mutant after the other, each up to its first failure.

A process takes some seconds to start and most mutants are killed in a fraction of one, so a process takes many. Every
test of every mutant is a test of cocotb's, which ends whatever the test has started; it begins with a reset, as ever.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import cocotb

from tb.bench.harness import CONTEXT
from tb.mutate.netlist import CONTROL
from tb.run.block import tests_of

_CONTEXT = json.loads(Path(os.environ[CONTEXT]).read_text("utf-8"))
_BENCH = importlib.import_module(_CONTEXT["bench"])
_TESTS = tuple(_CONTEXT["tests"] or tests_of(_BENCH))
_failed: set[int] = set()
_began: dict[int, float] = {}


def _record(number: int, test: str, message: str, crashed: bool) -> None:
    """Add the mutant's outcome to those that are known: what killed it, or that nothing did."""
    outcome = {"number": number, "test": test, "message": message, "crashed": crashed,
               "seconds": time.monotonic() - _began[number]}
    with Path(_CONTEXT["outcomes"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(outcome) + "\n")


def _on_mutant(number: int, name: str) -> Callable[[Any], Coroutine[Any, None, None]]:
    body = getattr(_BENCH, name).func

    async def run(dut: Any) -> None:
        if number in _failed:
            return
        _began.setdefault(number, time.monotonic())
        getattr(dut, CONTROL).value = number
        message, crashed = "something that the test has started failed", True
        try:
            await body(dut)
            message = ""
        except AssertionError as error:
            message, crashed = str(error), False
        except Exception as error:  # of the bench itself
            message = f"{type(error).__name__}: {error}"
        finally:
            if message:
                _failed.add(number)
                _record(number, name, message, crashed)
            elif name == _TESTS[-1]:
                _record(number, "", "", False)
    return run


for _number in _CONTEXT["mutants"]:
    for _name in _TESTS:
        globals()[f"mutant_{_number}_{_name}"] = cocotb.test(name=f"{_number}.{_name}")(_on_mutant(_number, _name))
