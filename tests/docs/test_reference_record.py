"""The report behind the record of cases that were compared with the scalar reference: what counts, and when it is
written."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from docs.tools import figures
from tests.support import compared
from tests.support.golden_cases import cases

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[str]]:
    """What is counted, empty: these tests are not among those that are reported."""
    found: dict[str, Counter[str]] = {}
    monkeypatch.setattr(compared, "_seen", found)
    return found


def session(root: Path, **config: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(rootpath=root, **config))


def test_a_case_counts_once_it_was_equal_and_not_where_it_was_given_up(seen: dict[str, Counter[str]]) -> None:
    passed = []

    @cases(50, compared.LAYERS, value=st.integers(0, 9))
    def drawn(value: int) -> None:
        assume(value % 2)
        passed.append(value)

    drawn()
    (counted,) = seen.values()
    assert counted == {compared.LAYERS: len(passed)} and len(passed) > 0

    @cases(50, value=st.integers(0, 9))
    def wrong(value: int) -> None:
        raise AssertionError(value)

    with pytest.raises(AssertionError):
        wrong()
    assert counted == {compared.LAYERS: len(passed)}


def test_a_run_that_passed_leaves_the_sums_of_its_workers_and_one_that_failed_nothing(
        seen: dict[str, Counter[str]], tmp_path: Path) -> None:
    compared.compared()
    sent: dict[str, Any] = {}
    compared.pytest_sessionfinish(session(tmp_path, workeroutput=sent), pytest.ExitCode.OK)
    compared.pytest_testnodedown(SimpleNamespace(workeroutput=sent))
    compared.pytest_testnodedown(SimpleNamespace())  # one that died
    compared.pytest_sessionfinish(session(tmp_path), pytest.ExitCode.TESTS_FAILED)
    assert not list(tmp_path.iterdir())
    compared.pytest_sessionfinish(session(tmp_path), pytest.ExitCode.OK)
    report = json.loads((tmp_path / "build" / "reference.json").read_text(encoding="utf-8"))
    (name,) = seen
    assert name.startswith("tests/docs/test_reference_record.py::")
    assert report == {"seed": int(os.environ["STAMP_SEED"]), "cases": 2, "layers": 0, "tests": {name: {"cases": 2}}}


def test_the_record_wants_every_test_file_that_counts_cases() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "stamp_hw").glob("test_*.py")}
    counting = {name for name, text in texts.items() if "@cases(" in text or " compared(" in text}
    assert counting == figures.REFERENCE_TESTS
    tests = {f"tests/stamp_hw/{name}::test_a": {} for name in counting}
    full: dict[str, Any] = {"cases": 5, "layers": 2, "tests": tests}
    assert figures.reference(full) == {"cases": 7, "layers": 2}
