"""One fresh seed for the whole run, printed in its header; every worker process inherits it."""

from __future__ import annotations

import os
import secrets

import numpy as np
import pytest


def pytest_configure() -> None:
    os.environ.setdefault("STAMP_SEED", str(secrets.randbelow(2**31)))


def pytest_report_header() -> str:
    return f"seed of all random tests: STAMP_SEED={os.environ['STAMP_SEED']} (set it to repeat this run)"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Seeded by STAMP_SEED; a failure shows the command that repeats it."""
    seed = os.environ["STAMP_SEED"]
    print(f"STAMP_SEED={seed} .venv/bin/python -m pytest '{request.node.nodeid}'")  # noqa: T201 shown on failure
    return np.random.default_rng(int(seed))
