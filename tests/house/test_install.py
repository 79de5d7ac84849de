"""A plain install, as `pip install .` makes it, works from any folder: whatever `sim`, `tb` or `models` is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.imports import PACKAGES, ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("install")]  # two installs at once would meet in one folder
Run = Callable[..., "subprocess.CompletedProcess[str]"]
LAYER = ("import numpy as np\n"
         "layer = Layer(name='one', x=np.eye(8, dtype=np.float32), weight=np.ones((4, 8), np.float32))\n")
OWN = "raise RuntimeError('the user\\'s own module was imported')\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python whose only stamp-hw is a wheel's; the other packages are this environment's."""
    root = tmp_path_factory.mktemp("install")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (root / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / "source" / name)
    made = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(root),
                           str(root / "source")], capture_output=True, text=True, check=False)
    if made.returncode and "No matching distribution found for setuptools" in made.stderr:
        pytest.skip("the package index with the build backend is out of reach")
    assert made.returncode == 0, made.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
    packages = root / "venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (wheel,) = root.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    shutil.rmtree(root / "source")
    return root / "venv" / "bin" / "python"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Runs that Python in a folder in which a user has modules of his own by our packages' names."""
    for package in set(PACKAGES) - {"stamp_hw"}:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(OWN, encoding="utf-8")

    def python(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STAMP", "PYTEST"))}
        done = subprocess.run([str(installed), *words], cwd=tmp_path, capture_output=True, text=True, check=False,
                              env=env)
        assert done.returncode == code, done.stderr
        return done

    return python


def test_what_a_user_imports_is_under_stamp_hw(run: Run) -> None:
    done = run("-c", "from stamp_hw import Layer, NpuConfig, Trace, __version__, run_linear\n" + LAYER +
               "import stamp_hw; print(__version__, run_linear(layer, NpuConfig()).y.shape, stamp_hw.__file__)")
    version, *shape, file = done.stdout.split()
    assert shape == ["(8,", "4)"] and version == VERSION and "venv" in file and str(ROOT) not in file


@pytest.mark.trace
def test_the_torch_layer_is_there_as_well(run: Run) -> None:
    pytest.importorskip("torch")
    assert run("-c", "from stamp_hw.torch import StampLinear; print(StampLinear)").stdout


def test_a_block_finds_its_cycles_and_its_hardware(run: Run) -> None:
    done = run("-c", "from stamp_hw import Layer, NpuConfig, blocks\n" + LAYER +
               "engine = blocks.Engine(NpuConfig())\nprint(engine.cycles(layer), engine.component())")
    assert int(done.stdout.split()[0]) > 0 and "rtl_gen.engine.top.Engine" in done.stdout


def test_a_process_that_has_imported_the_other_package_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sim" / "__init__.py").write_text("", encoding="utf-8")
    done = run("-c", "import sim\nfrom stamp_hw import Layer, NpuConfig, blocks\n" + LAYER +
               "blocks.Engine(NpuConfig()).cycles(layer)", code=1)
    assert f"StampError: sim: another package has this name; got {tmp_path / 'sim' / '__init__.py'}" in done.stderr


@pytest.mark.parametrize("program", [("-m", "stamp_hw"), ("-P", "-m", "stamp_hw")], ids=" ".join)
def test_the_program_runs(run: Run, tmp_path: Path, program: tuple[str, ...]) -> None:
    assert run(*program, "--version").stdout == f"stamp-hw {VERSION}\n"
    assert "16x8x8" in run(*program, "simulate", "--shape", "16x8x8", "--json", "shape.json").stdout
    run(*program, "report", "shape.json", "--out", "shape.html")
    assert (tmp_path / "shape.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    run(*program, "generate", "--hw", "rows=1", "--hw", "cols=1", "--hw", "lanes=1", "--out", "verilog")
    assert (tmp_path / "verilog" / "stamp_engine_axi.v").is_file()


@pytest.mark.rtl
def test_it_verifies_and_builds_in_the_current_folder(run: Run, tmp_path: Path) -> None:
    done = run("-m", "stamp_hw", "verify", "--block", "rescale", "--words", "1000", "--set", "one")
    assert " 0 " in done.stdout and done.stdout.rstrip().endswith("ok")
    assert (tmp_path / "build" / "rtl").is_dir()
    for word in ("deep", "faults", "coverage", "census", "formal", "mutate"):
        assert f"usage: stamp-hw verify {word} " in run("-m", "stamp_hw", "verify", word, "--help").stdout
