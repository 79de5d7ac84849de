"""Traces that several files of this folder fit on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.ablate_cases import LAYERS
from tests.support.simulate_cases import ar1, write_trace


@pytest.fixture(scope="module")
def toy_fits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two traces of the toy model (the same weights) on other sequences."""
    folder = tmp_path_factory.mktemp("fits")
    found = []
    for seed in (11, 12):
        rng = np.random.default_rng(seed)
        change = {name: lambda x, rng=rng: ar1(rng, *x.shape) for name in LAYERS}
        found.append(write_trace(folder / f"fit{seed}.safetensors", change))
    return found
