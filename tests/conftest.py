"""One fresh seed for the whole run, printed in its header and inherited by every worker; fixtures that files share."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.compared import pytest_sessionfinish, pytest_testnodedown
from tests.support.simulate_cases import document, write_trace

__all__ = ["pytest_sessionfinish", "pytest_testnodedown"]


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


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("toy") / "toy.safetensors")


@pytest.fixture(scope="session")
def toy_report(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return document(tmp_path_factory.mktemp("toy_report"), toy)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Workers of a parallel run would otherwise fight for the cores inside every product of torch."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a tiny random PixArt and a SANA pipeline."""
    pytest.importorskip("diffusers")
    from tests.support import image_models

    root = tmp_path_factory.mktemp("pipelines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        return {family: getattr(image_models, family)(root / family, int(os.environ["STAMP_SEED"]))
                for family in image_models.FAMILIES}
