"""Generated Verilog: the same everywhere, whole or not there, described, and right without Python."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtl_gen.delivery import generate as generator
from rtl_gen.delivery import vectors
from rtl_gen.verilog.declared import ports
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, OutputError
from tests.support.generate_cases import (
    BLOCKED,
    LINE,
    MODULES,
    OF_BLOCKS,
    ROTATED,
    SMALL,
    WITH_VECTORS,
    build,
    contents,
    generated,
    simulate,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return generated(SMALL, blocks=True, vectors=True)


@pytest.fixture(scope="module")
def folder(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated") / "rtl"
    generator.write(out, files)
    return out


def test_two_processes_with_other_hash_seeds_and_folders_write_the_same_bytes(tmp_path: Path,
                                                                              files: dict[str, str]) -> None:
    config = tmp_path / "small.yaml"
    config.write_text("hw: {rows: 2, cols: 4, lanes: 3, rescale_lanes: 2, max_k: 64, max_tokens: 100, max_levels: 6}\n")
    for seed, name in (("1", "one"), ("77", "two/deep")):
        (tmp_path / f"cwd{seed}").mkdir()
        subprocess.run([sys.executable, "-m", "stamp_hw", "generate", "--config", str(config), "--out",
                        str(tmp_path / name), "--blocks", "--vectors"], check=True, cwd=tmp_path / f"cwd{seed}",
                       env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}, capture_output=True)
        assert contents(tmp_path / name) == files


def test_no_path_and_no_date_of_this_machine_is_in_any_file(files: dict[str, str]) -> None:
    for name, text in files.items():
        for trace in (str(ROOT), sys.prefix, "site-packages", ".py:"):
            assert trace not in text, name
        assert not re.search(r"\b20\d\d-\d\d-\d\d|\b\d\d:\d\d:\d\d", text), name


def test_the_manifest_describes_every_file(files: dict[str, str]) -> None:
    manifest = json.loads(files["manifest.json"])
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    for name, digest in manifest["files"].items():
        assert digest == hashlib.sha256(files[name].encode()).hexdigest()
    assert set(manifest["blocks"]) == set(MODULES)
    assert manifest["blocks"]["stamp_mac"]["parameters"]["cols"] == 4
    assert set(manifest["generator"]) == {"stamp-hw", "amaranth"}
    other = json.loads(generated(LINE)["manifest.json"])
    assert other["sha256"] != manifest["sha256"]


@pytest.mark.parametrize("vectors", [False, True])
def test_without_blocks_there_is_the_engine_and_what_it_instantiates_and_nothing_else(vectors: bool,
                                                                                     files: dict[str, str]) -> None:
    engine = generated(SMALL, vectors=vectors)
    manifest = json.loads(engine["manifest.json"])
    assert list(manifest["blocks"]) == ["stamp_engine", "stamp_engine_axi"]
    modules = {Path(name).stem for name in engine["files.f"].split()}
    alone = {*MODULES} - {"stamp_engine", "stamp_engine_axi"}
    assert len(alone) == 6 and not modules & alone
    used = {name for module in modules for name in re.findall(r"^ *(stamp_\w+) +\w", engine[f"{module}.v"], re.M)}
    assert modules == used | {"stamp_engine_axi"} and "stamp_pe" in used
    for name, text in engine.items():
        assert not alone & set(re.findall(r"\bstamp_\w+", text)), name
    benches = [name for name in engine if name.startswith("vectors/tb_")]
    assert benches == (["vectors/tb_stamp_engine.v"] if vectors else [])
    assert any(name.startswith("vectors/") for name in engine) == vectors
    same = set(engine) - {"manifest.json", "files.f"}
    if not vectors:  # with them it simulates as well
        same.remove("stamp_engine_axi.core")
    assert all(engine[name] == files[name] for name in same), "blocks change nothing of the engine"
    assert alone <= {Path(name).stem for name in files["files.f"].split()}


def test_each_file_is_one_module_of_its_name_and_belongs_to_its_user(files: dict[str, str]) -> None:
    modules = files["files.f"].split()
    assert modules == [name for name in files if name.endswith(".v") and "/" not in name]
    for name in modules:
        assert re.findall(r"^module (\w+)", files[name], re.MULTILINE) == [Path(name).stem]
        assert "belongs to its user" in files[name].splitlines()[0]


def test_the_verilog_has_the_names_of_the_source_and_no_junk(files: dict[str, str]) -> None:
    for name in files["files.f"].split():
        assert not re.search(r"\\|\$auto|always_init", files[name]), name
    lane = files["stamp_rescale_lane.v"]
    assert "      total <= span_term + lo_term;\n" in lane and re.search(r"  reg \[38:0\] .*, total, ", lane)
    assert files["stamp_mac.v"].count("  stamp_mac_row row") == 2
    assert files["stamp_mac_row.v"].count("  stamp_pe pe") == 4
    assert "    if (rst) valid_line <= 14'd0;\n" in files["stamp_rescale.v"]


def test_an_unknown_block_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="alu"):
        generator.units("alu")


def test_a_block_that_the_hardware_does_not_have_is_refused_by_what_decides_it(
        capsys: pytest.CaptureFixture[str]) -> None:
    assert [unit.module for unit in generator.units("combine", BLOCKED.hw)] == ["stamp_combine"]
    for command in (["synth", "--block", "combine"], ["verify", "--block", "combine", "--hw", "rows=4"]):
        assert main(command) == 2
        assert capsys.readouterr().err == ("stamp-hw: hw.block: hardware without a block combine; got none; expected "
                                           "channels of a block\n")


def test_hardware_with_blocks_has_tops_of_its_own_and_the_engine_has_their_parts() -> None:
    blocked = generated(BLOCKED, blocks=True)
    tops = set(json.loads(blocked["manifest.json"])["blocks"])
    assert tops == set(MODULES) - {"stamp_mac"} | set(OF_BLOCKS)
    assert set(OF_BLOCKS) == {"stamp_block_mac", "stamp_combine"}
    parts = json.loads(blocked["manifest.json"])["blocks"]["stamp_engine"]["files"]
    assert {"stamp_combine_column.v", "stamp_mac_row.v", "stamp_pe.v"} <= set(parts)
    assert blocked["stamp_combine_unit.v"].count("  stamp_combine_column column") == 4


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs").glob("*.yaml")))
def test_stimulus_fits_every_shipped_configuration(name: str) -> None:
    config = NpuConfig.load(ROOT / "configs" / f"{name}.yaml")
    for unit in generator.units(hw=config.hw):
        if unit.module not in WITH_VECTORS:
            continue
        written = vectors.files(unit, config)
        assert f"tb_{unit.module}.v" in written
        assert all(re.fullmatch(r"[0-9a-f]+", line) for file, text in written.items() if file.endswith(".hex")
                   for line in text.split())


# --- the folder ------------------------------------------------------------------------------------------------------


def test_an_earlier_result_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "rtl"
    generator.write(out, generated(LINE, vectors=True))
    generator.write(out, generated(LINE.with_hw(dsp="ecp5")))
    fresh = generated(LINE)
    generator.write(out, fresh)
    assert contents(out) == fresh
    assert [path.name for path in tmp_path.iterdir()] == ["rtl"]


def test_a_foreign_file_is_never_deleted(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    with pytest.raises(OutputError, match="thesis.txt"):
        generator.write(tmp_path, {"a.v": ""})
    out = tmp_path / "rtl"
    generator.write(out, contents(folder))
    (out / "mine.v").write_text("module mine; endmodule")
    with pytest.raises(OutputError, match="mine.v"):
        generator.write(out, contents(folder))
    assert (tmp_path / "thesis.txt").read_text() == "ten years" and (out / "mine.v").is_file()


def test_an_interrupt_ends_in_one_line() -> None:
    code = ("import sys\nfrom unittest import mock\nfrom stamp_hw.cli.main import main\n"
            "with mock.patch('rtl_gen.verilog.emit.Design', side_effect=KeyboardInterrupt):\n"
            "    sys.exit(main(['generate', '--out', 'never']))\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, "stamp-hw: interrupted\n")
    assert not (ROOT / "never").exists()


# --- fields of the payloads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", generator.units(hw=SMALL.hw), ids=MODULES)
def test_the_manifest_and_the_head_of_a_top_tell_every_field_of_its_streams(unit: generator.Unit,
                                                                           files: dict[str, str]) -> None:
    streams = json.loads(files["manifest.json"])["blocks"][unit.module]["streams"]
    component = unit.component(unit.params(SMALL.hw))
    component._MustUse__used = True
    members = component.signature.members
    assert list(streams) == [name.removesuffix("_tdata") for name, member in members.items()
                             if member.is_signature or name.endswith("_tdata")]
    head = files[f"{unit.module}.v"].split("\nmodule ")[0]
    for name, stream in streams.items():
        port = next(port for port in ports(files[f"{unit.module}.v"]) if port.name == stream["port"])
        assert port.direction.startswith(stream["direction"]) and port.width == stream["width"]
        plain = name in members
        shape = members[name].signature.members["payload"].shape if plain else members[f"{name}_tdata"].shape
        assert stream["port"] == (f"{name}__payload" if plain else f"{name}_tdata")
        assert f"{stream['port']} ({stream['direction']}), {stream['width']} bits" in head
        covered = []
        for field in stream["fields"]:
            view = shape.const({field["name"]: [-1] + [0] * (field["shape"][0] - 1) if "shape" in field else -1})
            assert view.as_bits() == ((1 << field["width"]) - 1) << field["offset"]
            steps = range(field["shape"][0]) if "shape" in field else (0,)
            for step in steps:
                low = field["offset"] + step * field.get("strides", [0])[0]
                covered += range(low, low + field["width"])
            array = f"[{field['shape'][0]}] x" if "shape" in field else ""
            assert f"from bit {field['offset']}: {field['name']}{array} {field['width']} bit" in head
        assert sorted(covered) == list(range(stream["width"])), "no gap, no overlap"


# --- testbenches without Python --------------------------------------------------------------------------------------


@pytest.mark.rtl
@pytest.mark.parametrize("module", OF_BLOCKS)
def test_the_plain_testbenches_of_hardware_with_blocks_pass(module: str, tmp_path: Path) -> None:
    out = tmp_path / "rtl"
    generator.write(out, generated(BLOCKED, blocks=True, vectors=True))
    build(out / "vectors", module, tmp_path / "obj", "stamp_bench.v", "-y", "..")
    code, output = simulate(tmp_path / "obj", out / "vectors")
    assert code == 0 and f"PASS {module}" in output and "FAIL" not in output


@pytest.mark.rtl
@pytest.mark.parametrize("module", WITH_VECTORS)
def test_the_plain_testbench_passes_and_a_wrong_expected_file_makes_it_fail(module: str, folder: Path,
                                                                          tmp_path: Path) -> None:
    here, objects = folder / "vectors", tmp_path / "obj"
    build(here, module, objects, "stamp_bench.v", "-y", "..")
    code, output = simulate(objects, here)
    assert code == 0 and f"PASS {module}" in output and "FAIL" not in output

    expected = (here / f"{module}.o.hex").read_text().split()
    for place, change, wanted in (
        (len(expected) // 2, lambda line: line[:-1] + f"{int(line[-1], 16) ^ 1:x}", f"beat {len(expected) // 2}: got"),
        (len(expected) - 1, lambda line: line[0] + f"{int(line[1:], 16) ^ 1:0{len(line) - 1}x}", "expected"),
    ):
        wrong = tmp_path / f"wrong{place}"
        wrong.mkdir()
        for path in here.glob(f"{module}.*.hex"):
            (wrong / path.name).write_text(path.read_text())
        lines = list(expected)
        lines[place] = change(lines[place])
        (wrong / f"{module}.o.hex").write_text("\n".join(lines) + "\n")
        code, output = simulate(objects, wrong)
        assert code == 1 and f"FAIL {module}" in output and wanted in output, output


@pytest.mark.rtl
def test_hardware_with_a_hadamard_unit_has_it_as_a_top_of_its_own_too(tmp_path: Path) -> None:
    files = generated(ROTATED, blocks=True, vectors=True)
    blocks = json.loads(files["manifest.json"])["blocks"]
    assert set(blocks) == {*MODULES, "stamp_hadamard"}
    assert blocks["stamp_hadamard"]["parameters"] == {"lanes": 4, "width": 16, "block": 16, "max_beats": 12}
    generator.write(tmp_path / "out", files)
    here, objects = tmp_path / "out" / "vectors", tmp_path / "obj"
    build(here, "stamp_hadamard", objects, "stamp_bench.v", "-y", "..")
    code, output = simulate(objects, here)
    assert code == 0 and "PASS stamp_hadamard" in output and "FAIL" not in output


@pytest.mark.rtl
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed; pip has none")
@pytest.mark.parametrize("module", WITH_VECTORS)
def test_the_plain_testbench_passes_where_what_was_never_written_is_unknown(module: str, folder: Path, tmp_path: Path
                                                                           ) -> None:
    """Icarus has a fourth and a third state: memories and registers without a reset begin as x."""
    here, program = folder / "vectors", tmp_path / "tb.vvp"
    for command in (["iverilog", "-o", program, "-s", f"tb_{module}", f"tb_{module}.v", "stamp_bench.v", "-y", ".."],
                    ["vvp", program]):
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr
    assert f"PASS {module}" in done.stdout and "FAIL" not in done.stdout


@pytest.mark.rtl
def test_the_bench_notices_a_beat_too_many_and_a_beat_too_few(tmp_path: Path) -> None:
    """A source wired to a sink: the sink expects one beat less, then one more than comes."""
    shared = vectors.shared_files()
    for name in ("stamp_bench.v", "main.cpp"):
        (tmp_path / name).write_text(shared[name])
    (tmp_path / "pass.v").write_text(
        "module pass(input clk, input rst, input i__valid, output i__ready, input [7:0] i__payload, output o__valid,\n"
        "  input o__ready, output [7:0] o__payload);\n"
        "  assign {o__valid, i__ready, o__payload} = {i__valid, o__ready, i__payload};\nendmodule\n")
    for count, wanted in ((4, "a beat after the last one"), (6, "hang")):
        streams = [("input", "i", 8, 5), ("output", "o", 8, count)]
        (tmp_path / "tb_pass.v").write_text(vectors.testbench("pass", {}, streams))
        for name, beats in (("i", 5), ("o", count)):
            (tmp_path / f"pass.{name}.hex").write_text("".join(f"{beat % 3}{beat:02x}\n" for beat in range(beats)))
        build(tmp_path, "pass", tmp_path / "obj", "stamp_bench.v", "pass.v")
        code, output = simulate(tmp_path / "obj", tmp_path)
        assert wanted in output and "FAIL pass" in output and code == 1
