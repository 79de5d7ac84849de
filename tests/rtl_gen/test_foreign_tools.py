"""Tools that are not the project's own take the generated folder as it is: Debian's Verilator, Icarus, slang, Verible.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rtl_gen.delivery import generate as generator
from rtl_gen.delivery.generate import delivered
from stamp_hw.config import NpuConfig
from tests.support.foreign import VERILATORS, environment, needs_icarus, needs_other, run, script, slang
from tests.support.generate_cases import BLOCKED, LINE, PADDED, ROTATED, SMALL, generated

ROOT = Path(__file__).resolve().parents[2]
SMALL_ONES = {"padded": PADDED, "line": LINE, "blocked": BLOCKED, "rotated": ROTATED.with_hw(dsp="ecp5")}
SHIPPED = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
CASES = [*SMALL_ONES, *(pytest.param(name, marks=[pytest.mark.long, pytest.mark.xdist_group(f"generate {name}")])
                        for name in SHIPPED)]
# Verible's rules of style that plain Verilog cannot keep, or that the writer decides otherwise
STYLE = ("--rules=-line-length,-unpacked-dimensions-range-ordering,-explicit-parameter-storage-type,-module-filename,"
         "-parameter-name-style")
TIMESCALE = ("--timescale", "1ns/1ps")


@pytest.fixture(scope="module", params=CASES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a configuration's hardware can have written, in a folder that no test changes."""
    config = SMALL_ONES.get(request.param) or NpuConfig.load(ROOT / "configs" / f"{request.param}.yaml")
    out = tmp_path_factory.mktemp("foreign") / "rtl"
    generator.write(out, generated(config, blocks=True, vectors=True))
    return out


def tops(folder: Path) -> list[str]:
    return list(json.loads((folder / "manifest.json").read_text())["blocks"])


@pytest.mark.rtl
@pytest.mark.parametrize("which", VERILATORS)
def test_verilator_is_silent_about_every_top_with_the_waivers(which: str, folder: Path) -> None:
    for top in tops(folder):
        done = run(["verilator", "--lint-only", "-Wall", "waivers.vlt", "-F", "files.f", "--top-module", top], folder,
                   environment(which))
        assert (done.returncode, done.stderr) == (0, ""), f"{top}: {done.stderr[:2000]}"


def test_slang_reads_and_elaborates_every_top_and_every_testbench(folder: Path, capfd: pytest.CaptureFixture[str]
                                                                 ) -> None:
    for top in tops(folder):
        assert slang(folder, "--top", top, "-F", "files.f"), capfd.readouterr().err
    for bench in (folder / "vectors").glob("tb_*.v"):
        assert slang(folder / "vectors", *TIMESCALE, "--top", bench.stem, bench.name, "stamp_bench.v", "-y", ".."
                     ), capfd.readouterr().err


def test_verible_reads_every_file_and_has_nothing_to_say(folder: Path) -> None:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.v"))
    for command in ([script("verible-verilog-syntax")], [script("verible-verilog-lint"), STYLE]):
        done = run([*command, *files], folder)
        said = done.stdout + done.stderr
        assert (done.returncode, said) == (0, ""), said[:2000]


# --- the lines in the head of a testbench ----------------------------------------------------------------------------


def lines_of_head(bench: Path) -> list[str]:
    """The commands in a testbench's head, as a user would copy them."""
    comment = re.findall(r"^//   (.*)$", bench.read_text(), re.MULTILINE)
    return [line.removeprefix("$ ") for line in "\n".join(comment).replace("\\\n", "").split("\n")]


@pytest.mark.rtl
@pytest.mark.parametrize("which", [*VERILATORS, pytest.param("icarus", marks=needs_icarus)])
def test_the_line_in_the_head_of_a_testbench_runs_it(which: str, tmp_path: Path) -> None:
    generator.write(tmp_path / "rtl", generated(SMALL, blocks=True, vectors=True))
    vectors = tmp_path / "rtl" / "vectors"
    ours, icarus = lines_of_head(vectors / "tb_stamp_rescale.v")
    assert ours.startswith("verilator ") and icarus.startswith("iverilog ")
    line = (icarus if which == "icarus" else ours).replace("/tmp/", f"{tmp_path}/")
    done = run(["sh", "-c", line], vectors, environment("ours" if which == "icarus" else which))
    assert done.returncode == 0 and "PASS stamp_rescale" in done.stdout, (done.stdout + done.stderr)[-2000:]


@pytest.mark.rtl
@pytest.mark.long
@needs_other
@pytest.mark.parametrize("config", SMALL_ONES)
def test_the_engines_testbench_passes_under_the_other_verilator(config: str, tmp_path: Path) -> None:
    generator.write(tmp_path / "rtl", generated(SMALL_ONES[config], vectors=True))
    vectors = tmp_path / "rtl" / "vectors"
    line = lines_of_head(vectors / "tb_stamp_engine.v")[0].replace("/tmp/", f"{tmp_path}/")
    done = run(["sh", "-c", line], vectors, environment("other"))
    assert done.returncode == 0 and "PASS stamp_engine" in done.stdout, (done.stdout + done.stderr)[-2000:]


# --- names that nobody declares --------------------------------------------------------------------------------------


LOOSE = "module loose(input wire a, output wire b);\n  assign c = a;\n  assign b = c;\nendmodule\n"


def test_an_undeclared_name_is_an_error_in_a_delivered_file_and_not_behind_it(tmp_path: Path) -> None:
    (tmp_path / "plain.v").write_text(f"// A head.\n\n{LOOSE}")
    (tmp_path / "guarded.v").write_text(delivered(f"// A head.\n\n{LOOSE}"))
    (tmp_path / "fine.v").write_text(delivered("// A head.\n\nmodule fine(input wire a);\nendmodule\n"))
    assert slang(tmp_path, "--top", "loose", "plain.v")
    assert not slang(tmp_path, "--top", "loose", "guarded.v")
    assert slang(tmp_path, "--single-unit", "--top", "loose", "fine.v", "plain.v")


def test_every_delivered_file_of_verilog_is_guarded() -> None:
    files = generated(SMALL_ONES["rotated"], blocks=True, vectors=True)
    assert "ecp5/MULT18X18D.v" in files
    for name, text in files.items():
        if name.endswith(".v"):
            head, guard, body = text.partition("`default_nettype none\n")
            assert guard and all(line.startswith(("//", "`timescale")) for line in head.splitlines() if line), name
            assert body.endswith("endmodule\n`default_nettype wire\n") and body.count("`default_nettype") == 1, name
