"""docs/contributing.md: the block that it adds runs under Verilator, equals its models, and its fault is caught."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from docs.tools.results import ROOT
from tb.run.block import catch, fresh_seed, run_block

TEXT = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
#: The modules that stand for the page's files, which are no part of the packages, and how the page imports them.
MODULES = {"stamp_hw/params.py": "relu_params", "stamp_hw/relu.py": "relu_golden", "sim/relu.py": "relu_sim",
           "rtl_gen/relu.py": "relu_rtl", "tb/tb_relu.py": "tb_relu", "tb/faults/relu.py": "relu_faults"}
IMPORTS = {"from stamp_hw.params import ReluParams": "from relu_params import ReluParams",
           "from stamp_hw import relu as golden": "import relu_golden as golden",
           "from rtl_gen.relu import": "from relu_rtl import", "from sim import relu as relu_sim": "import relu_sim",
           '"rtl_gen.relu.positive"': '"relu_rtl.positive"'}


def files() -> dict[str, str]:
    """Path → text of the page's files."""
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", TEXT, re.DOTALL))


@pytest.mark.rtl
def test_the_block_on_the_page_equals_its_models_and_its_fault_is_caught(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(files()) == set(MODULES)
    for path, text in files().items():
        for old, new in IMPORTS.items():
            text = text.replace(old, new)
        (tmp_path / f"{MODULES[path]}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    bench = importlib.import_module("tb_relu")
    result = run_block("relu", "small", fresh_seed(), bench=bench, words=2_000)
    assert result.passed and result.words >= 2_000 and result.timed_beats > 600 and result.events["beats"] > 300
    (fault,) = importlib.import_module("relu_faults").FAULTS
    assert "o.a" in " ".join(catch(fault, fresh_seed(), words=2_000, bench=bench).failures)


def test_the_places_that_the_page_names_are_there() -> None:
    for path in re.findall(r"`((?:tb|rtl_gen|tests|docs|stamp_hw)/[\w/.]+?)/?`", TEXT):
        assert "relu" in path or (ROOT / path).exists(), path
    for target in re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target
