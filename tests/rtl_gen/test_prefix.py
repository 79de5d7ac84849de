"""`--prefix`: two configurations in one design, one program and one folder of software; all names follow."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.delivery import generate as generator
from rtl_gen.delivery import handover
from rtl_gen.delivery.prefix import check_prefix, renamed
from rtl_gen.flow.synth import run_yosys
from rtl_gen.toolchain import verilator_env
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, OutputError, ToolError
from tests.support.generate_cases import LINE, SMALL, build, compiled, generated, simulate
from tests.support.simulate_cases import write_one

CONFIGS = {"one": SMALL, "two": LINE}  # prefix → configuration
OURS = re.compile(r"(?i)\b(?:tb_)?stamp_(?!hw\b)\w+")  # any name that a file without --prefix has


def texts(*, same: bool) -> dict[str, dict[str, str]]:
    """Folder → files of both configurations, under their prefixes or, as it was without them, under the same."""
    return {folder: generated(config, prefix="stamp" if same else folder) for folder, config in CONFIGS.items()}


def wrapper(*tops: str) -> str:
    return "module both;\n" + "".join(f"  {top} a{at} ();\n" for at, top in enumerate(tops)) + "endmodule\n"


def tops(*, same: bool) -> tuple[str, ...]:
    return ("stamp_engine_axi",) if same else ("one_engine_axi", "two_engine_axi")


@pytest.mark.rtl
@pytest.mark.parametrize("same", [False, True], ids=["two prefixes", "one prefix"])
def test_two_configurations_are_one_design_under_verilator_with_both_waivers_and_clash_without_prefixes(
        same: bool, tmp_path: Path) -> None:
    for folder, files in texts(same=same).items():
        generator.write(tmp_path / folder, files)
    (tmp_path / "both.v").write_text(wrapper(*tops(same=same)))
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "-Wno-PINMISSING", "--timescale", "1ns/1ps", "one/waivers.vlt",
         "two/waivers.vlt", "-F", "one/files.f", "-F", "two/files.f", "both.v", "--top-module", "both"],
        cwd=tmp_path, env=verilator_env(), capture_output=True, text=True, check=False)
    if same:
        assert done.returncode != 0 and "MODDUP" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, ""), done.stderr[:2000]


@pytest.mark.rtl
@pytest.mark.parametrize("same", [False, True], ids=["two prefixes", "one prefix"])
def test_two_configurations_are_one_hierarchy_for_yosys_and_clash_without_prefixes(same: bool, tmp_path: Path) -> None:
    files = {f"{folder}_{name}": content for folder, content_of in texts(same=same).items()
             for name, content in content_of.items() if name in content_of["files.f"].split()}
    files["both.v"] = wrapper(*tops(same=same))
    script = "hierarchy -check -top both; tee -q -o modules.txt ls"
    if same:
        with pytest.raises(ToolError, match="Re-definition of module"):
            run_yosys(tmp_path, files, "both", script)
    else:
        run_yosys(tmp_path, files, "both", script)
        found = (tmp_path / "modules.txt").read_text().split()
        assert {"one_engine_axi", "two_engine_axi", "one_pe", "two_pe"} <= set(found)
        assert {name.split("_")[0] for name in found if "engine" in name} == {"one", "two"}


@pytest.mark.rtl
def test_a_testbench_runs_under_its_prefix_beside_the_other_configuration(tmp_path: Path) -> None:
    """Modules and testbenches of both on one command line; the one that runs finds its own."""
    generator.write(tmp_path / "one", generated(SMALL, blocks=True, vectors=True, prefix="one"))
    generator.write(tmp_path / "two", generated(LINE, vectors=True, prefix="two"))
    here, other = tmp_path / "one" / "vectors", tmp_path / "two"
    rest = [f"{other}/vectors/tb_two_engine.v", f"{other}/vectors/two_bench.v", "-y", "..", "-F", f"{other}/files.f"]
    build(here, "one_rescale", tmp_path / "obj", "one_bench.v", *rest)
    code, output = simulate(tmp_path / "obj", here)
    assert code == 0 and "PASS one_rescale" in output and "FAIL" not in output


def test_every_name_in_every_file_and_of_every_file_follows() -> None:
    plain, files = (generated(SMALL, blocks=True, vectors=True, prefix=prefix) for prefix in ("stamp", "one"))
    assert any(OURS.search(name) for name in plain) and len(files) == len(plain)
    for name, text in files.items():
        assert not OURS.search(name) and not OURS.search(text), name
    for kind in (".core", ".h", "files.f", "waivers.vlt", "vivado.tcl", "registers.md"):
        (name,) = (name for name in files if name.endswith(kind))
        assert re.search(r"(?i)\bone_", files[name]), name
    manifest = json.loads(files["manifest.json"])
    assert manifest["prefix"] == "one" and set(manifest["files"]) == set(files) - {"manifest.json"}
    assert all(digest == hashlib.sha256(files[name].encode()).hexdigest() for name, digest in manifest["files"].items())
    for module, top in manifest["blocks"].items():
        assert module.startswith("one_") and set(top["files"]) <= set(files)


def test_both_headers_and_both_programs_are_one_program_in_c(tmp_path: Path, rng: np.random.Generator) -> None:
    """The name of a layer is not ours: it keeps what looks like one of our names."""
    trace = write_one(tmp_path / "t.safetensors", rng.standard_normal((8, 4)), name="stamp_q STAMP_Q")
    for prefix, rows in (("one", 2), ("two", 3)):
        words = ["--hw", f"rows={rows}", "--prefix", prefix]
        header = handover.files(NpuConfig().with_hw(rows=rows).hw, ["a.v"], "waivers.vlt")["stamp_engine.h"]
        (tmp_path / f"{prefix}_engine.h").write_text(renamed(header, prefix))
        assert main(["program", str(trace), "--out", str(tmp_path / "p.json"), "--header",
                     str(tmp_path / f"{prefix}.h"), *words]) == 0
    done = compiled(tmp_path, '#include "one.h"\n#include "two.h"\nint main(void) {\n'
                    '  printf("%d %d %s", ONE_ENGINE_ROWS_VALUE, TWO_ENGINE_ROWS_VALUE, one_layers[0].name);\n'
                    "  return one_layers[0].job.beats != two_layers[0].job.beats;\n}\n")
    assert done.returncode == 0 and done.stdout == "2 3 stamp_q STAMP_Q", done.stderr


def test_a_result_under_one_prefix_is_replaced_by_one_under_another_and_a_foreign_file_is_not(tmp_path: Path) -> None:
    out = tmp_path / "rtl"
    generator.write(out, generated(LINE, prefix="two"))
    generator.write(out, generated(LINE))
    assert {path.name for path in out.iterdir()} == set(generated(LINE))
    for path in out.iterdir():
        path.unlink()
    (out / "thesis.v").write_text("ten years")
    ours = generator.manifest(SMALL, {}, {"thesis.v": "ten years"}, "one")
    for prefix, kept in (('"one"', "thesis.v"), ('"thesis.v|"', "manifest.json"), ("3", "manifest.json")):
        (out / "manifest.json").write_text(ours.replace('"prefix": "one"', f'"prefix": {prefix}'))
        with pytest.raises(OutputError, match=f"got {kept};"):
            generator.check_target(out)


@pytest.mark.parametrize(("prefix", "why"), [
    ("wire", "a keyword of Verilog"), ("endmodule", "a keyword of Verilog"), ("9a", "no identifier"),
    ("a-b", "no identifier"), ("a$b", "no identifier"), ("\\a", "no identifier"), ("ä", "no identifier"),
    ("", "no identifier"), ("a b", "no identifier"), ("../a", "no identifier"), ("a" * 65, "no identifier"),
])
@pytest.mark.parametrize("command", ["generate", "program"])
def test_what_is_no_identifier_is_refused_in_one_line_and_nothing_is_written(
        command: str, prefix: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"generate": ["generate"], "program": ["program", "t", "--header", str(tmp_path / "h.h")]}[command]
    assert main([*words, "--out", str(tmp_path / "out"), "--prefix", prefix]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and f"--prefix: {why}" in error and "; expected " in error
    assert not list(tmp_path.iterdir())


def test_a_prefix_without_a_header_names_nothing_and_is_refused(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "t", "--out", str(tmp_path / "p.json"), "--prefix", "one"]) == 2
    assert "--prefix one: names what is in a C header only; expected --header as well" in capsys.readouterr().err


def test_only_names_of_ours_are_renamed() -> None:
    text = "stamp_pe tb_stamp_pe STAMP_X stamp-hw stamp_hw/params.py stamp_hw.cli mystamp_pe timestamp_ns stamp"
    assert renamed(text, "stamp") == text
    assert renamed(text, "my_2") == (
        "my_2_pe tb_my_2_pe MY_2_X stamp-hw stamp_hw/params.py stamp_hw.cli mystamp_pe timestamp_ns stamp")
    check_prefix("_a9")
    with pytest.raises(ConfigError):
        check_prefix("module")
