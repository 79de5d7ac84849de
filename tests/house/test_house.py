"""The layout of the house: a block has a room in every package, imports go one way, no state of a machine in files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from stamp_hw import rooms
from stamp_hw.cli.commands import COMMANDS
from tb.commands.verify import WORDS
from tests.house.imports import PACKAGES, ROOT, circle, folder, imported, modules, package

BLOCKS = ("hadamard", "haar", "scale", "mac", "combine", "rescale", "engine")
MAY_IMPORT = {
    "stamp_hw": {"stamp_hw"},
    "rtl_gen": {"rtl_gen", "stamp_hw"},
    "sim": {"sim", "stamp_hw"},
    "tb": {"tb", "rtl_gen", "sim", "stamp_hw"},
    "models": {"models", "stamp_hw"},
}
# What `pip install stamp-hw` brings is all that the golden model and the cycle model need.
# A sweep on a cluster needs Dask, and asks for it when the cluster is (`test_dask_is_imported_where_a_cluster_is`).
LIGHT = {"stamp_hw": {"numpy", "yaml", "rich"}, "sim": {"numpy", "yaml", "matplotlib"},
         "sim.sweep": {"numpy", "matplotlib", "distributed"}, "stamp_hw.torch": {"numpy", "torch"}}
# The program's own folder: whatever runs under it may use it, the golden model may not.
PROGRAM = "stamp_hw.cli"
names = pytest.mark.parametrize("name", modules())


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_has_a_file_or_a_folder_of_its_name_in_every_package(block: str) -> None:
    for where in ("stamp_hw", "rtl_gen", "sim"):
        assert (ROOT / where / f"{block}.py").is_file() or (ROOT / where / block / "__init__.py").is_file(), where
    assert (ROOT / f"tb/tb_{block}.py").is_file() and (ROOT / f"tests/tb/test_{block}.py").is_file()


@names
def test_imports_between_packages_go_one_way(name: str) -> None:
    here = package(name)
    light = LIGHT.get(folder(name), LIGHT.get(here))
    for other in imported(name):
        assert package(other) != "tests"
        if package(other) in PACKAGES:
            assert package(other) in MAY_IMPORT[here], f"{here} may not import {other}"
        elif light is not None:
            assert other in light | sys.stdlib_module_names, f"{name} may not need {other}"


@names
def test_the_golden_model_knows_neither_the_program_nor_torch(name: str) -> None:
    if folder(name) in ("stamp_hw", "stamp_hw.engine", "stamp_hw.formats") and name != "stamp_hw.__main__":
        assert {other for other in imported(name) if folder_of(other) in (PROGRAM, "stamp_hw.torch")} == set()


def test_dask_is_imported_where_a_cluster_is() -> None:
    assert [name for name in modules() if "distributed" in imported(name)] == ["sim.sweep.cluster"]
    tree = ast.parse(modules()["sim.sweep.cluster"].read_text(encoding="utf-8"))
    first = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert "distributed" not in first, "a sweep without a cluster needs no Dask"


def folder_of(other: str) -> str:
    return folder(other) if other in modules() else other


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {name: {other for other in imported(name) if other in modules()} for name in modules()}
    assert circle(arrows) == []
    assert circle({**arrows, "stamp_hw.errors": {"sim.haar"}})[0:1] != [], "the search finds one"


def test_no_folder_imports_itself_by_way_of_others() -> None:
    """Modules that are in no folder of their package stand alone here."""
    def room(name: str) -> str:
        return name if folder(name) in PACKAGES else folder(name)

    arrows: dict[str, set[str]] = {}
    for name in modules():
        arrows.setdefault(room(name), set()).update(
            {room(other) for other in imported(name) if other in modules()} - {room(name)})
    assert circle(arrows) == []


@names
def test_a_file_holds_one_concept(name: str) -> None:
    text = modules()[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "a module says what it is"
    assert "pickle" not in imported(name)


def test_a_command_lives_with_what_it_commands_and_every_one_is_in_the_table() -> None:
    files = {name for name, path in modules().items()
             if path.parent.name == "commands" and "def add_options(" in path.read_text(encoding="utf-8")}
    assert files == {command.module for command in COMMANDS.values()} | {f"tb.commands.{word}" for word in WORDS}


def test_the_tests_mirror_the_packages() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*PACKAGES, "cli", "docs", "house", "reference", "support"}
    assert set(rooms.ROOMS) == set(PACKAGES) - {"stamp_hw"}


def test_packages_are_listed_explicitly_and_tests_are_not_among_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    data = {"configs", "configs.models", "configs.sweeps"}  # no code: the wheel takes what a command finds by its name
    assert listed == {name for name, path in modules().items() if path.name == "__init__.py"} | data
    extras = {"rtl", "formal", "fpga", "trace", "gguf", "docs", "sweep", "dev", "asic"}
    assert set(project["project"]["optional-dependencies"]) == extras


def test_a_release_has_one_number_and_an_entry_in_the_changelog() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", changelog, re.M)
    assert releases[0] == version and len(set(releases)) == len(releases) == changelog.count("\n## ")
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


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
