"""How many drawn cases the tests have compared with the scalar references: build/reference.json, which a record takes.

A test says so itself, with `compared`, once a case was equal: what it draws and gives up on does not count. The hooks
of pytest below add up what the workers of a parallel run have counted, and write the report behind a run that passed.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from stamp_hw.formats.files import write_json

CASES, LAYERS = "cases", "layers"  # parts of a layer's way, and layers from their inputs to their results
_WORKERS = "compared"  # in what a worker of a parallel run sends
_seen: dict[str, Counter[str]] = {}


def compared(kind: str = CASES) -> None:
    """One more case of the test at hand, `CASES` or `LAYERS`, was equal to the reference."""
    test = os.environ["PYTEST_CURRENT_TEST"].partition("[")[0].split(" ")[0]
    _seen.setdefault(test, Counter())[kind] += 1


def report(seen: dict[str, dict[str, int]], seed: int) -> dict[str, Any]:
    """`tests`: name → its cases by kind; `cases` and `layers`: their sums, and `seed` that of the run."""
    return {"seed": seed, **{kind: sum(one.get(kind, 0) for one in seen.values()) for kind in (CASES, LAYERS)},
            "tests": {name: dict(one) for name, one in sorted(seen.items())}}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker has counted, here as well."""
    for test, counted in getattr(node, "workeroutput", {}).get(_WORKERS, {}).items():
        _seen.setdefault(test, Counter()).update(counted)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_WORKERS] = {test: dict(counted) for test, counted in _seen.items()}
    elif _seen and exitstatus == pytest.ExitCode.OK:
        write_json(session.config.rootpath / "build" / "reference.json",
                   report({test: dict(counted) for test, counted in _seen.items()}, int(os.environ["STAMP_SEED"])))
