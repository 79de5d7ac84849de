"""The layout of the house: the same stem in every folder, imports one way, no state of a machine in tracked files."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = ("haar", "scale", "mac", "rescale", "engine")
PACKAGES = ("stamp_hw", "rtl_gen", "sim", "tb", "models")
MAY_IMPORT = {
    "stamp_hw": {"stamp_hw"},
    "stamp_hw/cli": {"stamp_hw", "rtl_gen", "sim", "tb", "models"},
    "rtl_gen": {"rtl_gen", "stamp_hw"},
    "sim": {"sim", "stamp_hw"},
    "tb": {"tb", "rtl_gen", "sim", "stamp_hw"},
    "models": {"models", "stamp_hw"},
}
# The golden model and the cycle model run with what `pip install -e .` brings and nothing else.
LIGHT = {"stamp_hw": {"numpy", "yaml"}, "sim": {"numpy", "yaml", "matplotlib"}}


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def room(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return "stamp_hw/cli" if relative.parts[:2] == ("stamp_hw", "cli") else relative.parts[0]


def imports(path: Path) -> list[tuple[str, bool]]:
    """(top-level module, inside a function) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(node) for scope in ast.walk(tree) if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
             for node in ast.walk(scope)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], id(node) in inner) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(((node.module or "").split(".")[0], id(node) in inner))
    return found


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_has_the_same_stem_in_every_folder(block: str) -> None:
    wanted = {f"stamp_hw/{block}.py", f"rtl_gen/{block}.py", f"sim/{block}.py", f"tb/tb_{block}.py",
              f"tests/test_{block}.py"}
    assert {name for name in wanted if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    for module, inside in imports(path):
        if module in PACKAGES:
            assert module in MAY_IMPORT[here], f"{here} may not import {module}"
            assert here != "stamp_hw/cli" or inside or module == "stamp_hw", f"{module} must be imported in a function"
        elif here in LIGHT and module not in LIGHT[here]:
            assert module in stdlib(), f"{here} may not need {module}"
        assert module != "tests"


def stdlib() -> frozenset[str]:
    import sys
    return sys.stdlib_module_names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_concept(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module says what it is"
    assert "pickle" not in {module for module, _ in imports(path)}


def test_packages_are_listed_explicitly_and_tests_are_not_among_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    present = {".".join(path.parent.relative_to(ROOT).parts) for path in sources() if path.name == "__init__.py"}
    assert listed == present
    assert set(project["project"]["optional-dependencies"]) == {"rtl", "formal", "fpga", "trace", "dev"}


def test_every_dependency_is_pinned_by_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(item for extra in extras for item in extra)]
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    for requirement in wanted:
        match = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert match and re.sub(r"[-_.]+", "-", match.group()).lower() in pinned, requirement
    assert pins["torch"] == "2.13.0"


def test_no_tracked_file_names_a_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    bad = re.compile(rb"/(?:home|root|work|Users)/[a-z]")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in (".safetensors", ".png"):
            assert not bad.search(path.read_bytes()), name
