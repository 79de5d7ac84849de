"""The FuseSoC core of a generated folder: its targets lint, simulate, and set a Vivado project up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from rtl_gen.delivery import generate as generator
from tests.support.foreign import NO_ICARUS, NO_OTHER, VERILATORS, fusesoc, other_verilator
from tests.support.generate_cases import LINE, generated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated folder that no test changes."""
    out = tmp_path_factory.mktemp("core") / "rtl"
    generator.write(out, generated(LINE, vectors=True))
    return out


@pytest.mark.rtl
@pytest.mark.parametrize("which", VERILATORS)
def test_it_lints_both_tops_clean_and_finds_a_mistake(which: str, folder: Path, tmp_path: Path) -> None:
    for target, top in (("lint", "stamp_engine_axi"), ("lint_plain", "stamp_engine")):
        work = tmp_path / target
        work.mkdir()
        done = fusesoc(folder, work, "--target", target, which=which)
        assert done.returncode == 0 and "%Warning" not in done.stdout + done.stderr, (done.stdout + done.stderr)[-2000:]
        control = next(work.rglob("*.vc")).read_text()
        assert f"--top-module {top}\n" in control and "waivers.vlt" in control and "--lint-only" in control
    wrong, work = tmp_path / "wrong", tmp_path / "found"
    shutil.copytree(folder, wrong)
    work.mkdir()
    path = wrong / "stamp_engine_axi.v"
    path.write_text(path.read_text().replace("endmodule", "  wire [3:0] left_over = 4'd3;\nendmodule"))
    done = fusesoc(wrong, work, "--target", "lint", which=which)
    assert done.returncode != 0 and "left_over" in done.stdout + done.stderr


@pytest.mark.rtl
@pytest.mark.parametrize("target", ["sim", "sim of the other Verilator", "sim_icarus"])
def test_it_runs_the_testbench_and_says_where_a_beat_differs(target: str, folder: Path, tmp_path: Path) -> None:
    target, _, other = target.partition(" ")
    if other and other_verilator() is None:
        pytest.skip(NO_OTHER)
    if target == "sim_icarus" and shutil.which("iverilog") is None:
        pytest.skip(NO_ICARUS)
    which, quick = "other" if other else "ours", "--make_options=OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    options = ["--target", target, *([quick] if target == "sim" else [])]
    done = fusesoc(folder, tmp_path, *options, which=which)
    assert done.returncode == 0 and "PASS stamp_engine" in done.stdout, (done.stdout + done.stderr)[-2000:]
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    expected = wrong / "vectors" / "stamp_engine.o.hex"
    lines = expected.read_text().split()
    lines[3] = lines[3][:-1] + f"{int(lines[3][-1], 16) ^ 1:x}"
    expected.write_text("\n".join(lines) + "\n")
    done = fusesoc(wrong, tmp_path, *options, which=which)
    assert "beat 3: got" in done.stdout and "FAIL stamp_engine" in done.stdout, (done.stdout + done.stderr)[-2000:]
    assert (done.returncode != 0) == (target == "sim"), "Icarus has no exit code of a testbench's own"


def test_it_sets_a_vivado_project_up_for_the_part_and_with_the_constraints(folder: Path, tmp_path: Path) -> None:
    """Vivado itself is not here; what is looked at is the project that it would read."""
    done = fusesoc(folder, tmp_path, "--target", "vivado", "--setup")
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    text = next(path for path in tmp_path.rglob("*.tcl") if path.stem.endswith("0")).read_text()
    assert "xc7k325tffg900-2" in text and "stamp_engine_axi" in text
    axi = json.loads((folder / "manifest.json").read_text())["blocks"]["stamp_engine_axi"]["files"]
    read = [Path(line.split("{")[1].rstrip("}")).name for line in text.splitlines() if line.startswith("read_verilog")]
    assert read == axi
    assert sum(line.startswith("read_xdc") and "stamp_engine_axi.xdc" in line for line in text.splitlines()) == 1


@pytest.mark.rtl
def test_a_core_under_another_prefix_lints_and_simulates(tmp_path: Path) -> None:
    generator.write(tmp_path / "rtl", generated(LINE, vectors=True, prefix="one"))
    done = fusesoc(tmp_path / "rtl", tmp_path, "--target", "lint", name="one_engine_axi")
    assert done.returncode == 0 and "%Warning" not in done.stdout + done.stderr, (done.stdout + done.stderr)[-2000:]
    assert "--top-module one_engine_axi\n" in next(tmp_path.rglob("*.vc")).read_text()
    core = yaml.safe_load((tmp_path / "rtl" / "one_engine_axi.core").read_text().removeprefix("CAPI=2:\n"))
    sim = core["targets"]["sim"]
    assert sim["toplevel"] == "tb_one_engine" and "-DBENCH=Vtb_one_engine" in sim["flow_options"]["verilator_options"]


@pytest.mark.parametrize(("prefix", "vectors"), [("stamp", False), ("stamp", True), ("one", True)])
def test_it_names_the_files_of_the_axi_top_and_those_of_the_bench_where_there_is_one(prefix: str, vectors: bool
                                                                                   ) -> None:
    files = generated(LINE, vectors=vectors, prefix=prefix)
    text = files[f"{prefix}_engine_axi.core"]
    core = yaml.safe_load(text.removeprefix("CAPI=2:\n"))
    assert text.startswith("CAPI=2:\n") and core["targets"]["default"]["toplevel"] == f"{prefix}_engine_axi"
    manifest = json.loads(files["manifest.json"])
    assert core["filesets"]["rtl"]["files"] == manifest["blocks"][f"{prefix}_engine_axi"]["files"]
    named = {name for fileset in core["filesets"].values() for entry in fileset["files"]
             for name in ([entry] if isinstance(entry, str) else entry)}
    assert named <= set(files)
    assert {name for name in named if name.startswith("vectors/")} == {name for name in files
                                                                      if name.startswith("vectors/")}
    assert ("sim" in core["targets"]) == ("sim_icarus" in core["targets"]) == vectors


@pytest.mark.rtl
def test_the_top_with_a_dma_has_a_core_that_lints_and_sets_a_vivado_project_up(tmp_path: Path) -> None:
    generator.write(tmp_path / "rtl", generated(LINE.with_hw(bus_width=64)))
    done = fusesoc(tmp_path / "rtl", tmp_path, "--target", "lint", name="stamp_npu")
    assert done.returncode == 0 and "%Warning" not in done.stdout + done.stderr, (done.stdout + done.stderr)[-2000:]
    assert "--top-module stamp_npu\n" in next(tmp_path.rglob("*.vc")).read_text()
    core = yaml.safe_load((tmp_path / "rtl" / "stamp_npu.core").read_text().removeprefix("CAPI=2:\n"))
    manifest = json.loads((tmp_path / "rtl" / "manifest.json").read_text())
    assert core["filesets"]["rtl"]["files"] == manifest["blocks"]["stamp_npu"]["files"]
    done = fusesoc(tmp_path / "rtl", tmp_path, "--target", "vivado", "--setup", name="stamp_npu")
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    texts = [path.read_text() for path in tmp_path.rglob("*.tcl") if path.stem.endswith("0")]
    assert any("stamp_npu.v" in text and "stamp_engine_axi.xdc" in text for text in texts)
