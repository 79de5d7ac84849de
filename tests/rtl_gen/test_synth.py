"""Every block synthesizes, a PE is one multiplier, and synthesis may leave out what reading a word under way costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rtl_gen.flow import synth
from rtl_gen.tops import BLOCKS, units
from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError
from stamp_hw.params import HaarParams
from tb.run.block import fresh_seed, run_block
from tb.run.fault import Fault, Files
from tests.support.generate_cases import LINE

LINE_WORDS = ["--hw", "rows=3", "--hw", "cols=3", "--hw", "lanes=2", "--hw", "rescale_lanes=3", "--hw", "axes=1",
              "--hw", "max_k=50", "--hw", "max_tokens=64", "--hw", "max_levels=3", "--hw", "mul_stages=1",
              "--hw", "act_slots=64"]


def counts(tmp_path: Path, *words: str) -> dict[str, dict[str, dict[str, int]]]:
    """Top → block → column → units, of the configuration LINE."""
    path = tmp_path / "cells.json"
    assert main(["synth", *LINE_WORDS, *words, "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    assert content["hw"]["rows"] == LINE.hw.rows and content["hw"]["max_k"] == LINE.hw.max_k
    return {top: {block.pop("block"): block for block in found["blocks"]} for top, found in content["tops"].items()}


@pytest.mark.long
@pytest.mark.rtl
def test_the_engine_synthesizes_with_its_multipliers_where_they_belong(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (blocks,) = counts(tmp_path).values()
    hw, table = LINE.hw, capsys.readouterr().out
    used = {name: block["MULT18X18D"] for name, block in blocks.items()}
    assert used["mac/mac_row/pe"] == used["mac"] == hw.rows * hw.cols == blocks["mac/mac_row/pe"]["instances"]
    assert used["front/scale"] == hw.lanes
    assert used["drain/rescale/rescale_lane"] == used["drain/rescale"] > 0
    assert not used["drain/rescale"] % hw.drain_lanes and used["drain/rescale"] <= 7 * hw.drain_lanes
    assert used[""] == used["mac"] + used["front/scale"] + used["drain/rescale"]
    # a block's figures hold those of its parts, the whole those of everything
    for column in ("LUT", "FF", "DP16KD"):
        assert blocks["front"][column] >= sum(blocks[f"front/{part}"][column] for part in ("haar", "scale")) > 0
        parts = [block[column] for name, block in blocks.items() if name and "/" not in name]
        assert len(parts) > 7 and blocks[""][column] >= sum(parts)
    share = sum(blocks[name]["LUT"] for name in synth.TRANSFORM) / blocks[""]["LUT"]
    assert f"lifting and scale (front/haar, front/scale, back/inverse): {share:.1%} of the LUTs" in table


@pytest.mark.rtl
@pytest.mark.parametrize("block", [pytest.param(name, marks=[pytest.mark.long] if name in ("axi", "dma") else [])
                                   for name in BLOCKS if name != "engine"])
def test_every_block_synthesizes_by_itself(block: str, tmp_path: Path) -> None:
    more = {"combine": ("--hw", "block=16"), "hadamard": ("--hw", "hadamard=16"),
            "dma": ("--hw", "bus_width=128")}.get(block, ())
    tops = counts(tmp_path, "--block", block, *more)
    if block == "combine":
        assert tops["stamp_combine"][""]["MULT18X18D"] >= LINE.hw.cols
    elif block == "dma":
        assert set(tops) == {"stamp_npu"}
    elif block != "hadamard":
        assert set(tops) == {unit.module for unit in units(block, LINE.hw)}
    assert all(blocks[""]["LUT"] > 0 and blocks[""]["FF"] > 0 for blocks in tops.values())
    if block == "haar":
        assert not any(blocks[""]["MULT18X18D"] for blocks in tops.values())


@pytest.mark.rtl
def test_without_a_vendor_memories_are_counted_in_bits(tmp_path: Path) -> None:
    tops = counts(tmp_path, "--block", "haar", "--target", "lut6")
    for module, params in (("stamp_haar_forward", HaarParams.forward(LINE.hw)),
                           ("stamp_haar_inverse", HaarParams.inverse(LINE.hw))):
        depths = (params.max_beats, params.max_levels * params.max_beats, (params.max_levels - 1) * params.max_beats)
        bits = sum(max(2, depth) for depth in depths) * params.lanes * params.width
        assert tops[module][""]["memory bits"] == bits and tops[module][""]["LUT"] > 0


def collide(invert_always: bool = False) -> Fault:
    """Every memory reads the complement of a word in the cycle in which that word is written (or always)."""
    def edit(files: Files) -> Files:
        return {name: spoil(text) for name, text in files.items()}

    def spoil(text: str) -> str:
        for memory in re.findall(r"^  (?:\(\* .* \*\) )?reg (?:\[\d+:0\] )?(\w+) \[0:\d+\];$", text, re.MULTILINE):
            (write,) = re.findall(rf"^    if \((.+)\) {memory}\[(.+?)\] <= ", text, re.MULTILINE)
            collides = "1'b1" if invert_always else f"({write[0]}) && ({{{write[1]}}}) == ({{\\2}})"
            text, found = re.subn(rf"(\w+) <= {memory}\[(.+)\];",
                                  rf"\1 <= {collides} ? ~{memory}[\2] : {memory}[\2];", text)
            assert found == 1, f"{memory}: {found} reads"
        return text

    return Fault(name="collide", block="any", why="a word is read while it is written", edit=edit)


@pytest.mark.rtl
@pytest.mark.parametrize(("block", "name"), [("haar", "forward_tiny"), ("haar", "forward_tiny_deep"),
                                             ("haar", "inverse_tiny_deep"), ("scale", "lanes3"), ("engine", "1x3"),
                                             ("engine", "2x2")])
def test_no_word_is_of_use_that_is_read_while_it_is_written(block: str, name: str) -> None:
    # So a memory may return anything then, and synthesis needs no logic for it (`-no-rw-check`).
    run_block(block, name, fresh_seed(), fault=collide(), words=3000)


@pytest.mark.rtl
def test_a_wrong_word_is_noticed() -> None:
    assert not run_block("haar", "forward_tiny", fresh_seed(), fault=collide(invert_always=True), words=3000,
                         check=False).passed


def test_a_part_of_the_hardware_that_does_not_exist_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in ((["--target", "vapour"], "unknown target"), (["--block", "moon"], "unknown block"),
                        (["--hw", "rows"], "not a value"), (["--hw", "rows=]"], "not YAML"),
                        (["--hw", "rows=2000-13-45"], "not YAML"),
                        (["--hw", "row=2"], "row"), (["--hw", "rows=nine"], "rows")):
        assert main(["synth", *words]) == 2
        captured = capsys.readouterr()
        assert not captured.out and len(captured.err.splitlines()) == 1 and said in captured.err


@pytest.mark.parametrize("below", ["", "/below.json", "/far/below.json", "/" + 300 * "a"])
def test_synth_refuses_a_target_at_a_folder_or_below_a_file_before_any_work(below: str, tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch,
                                                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(synth, "synthesize", lambda *_: pytest.fail("synthesized"))
    target = tmp_path / "target"
    if below:
        target.write_text("keep")
    else:
        target.mkdir()
    assert main(["synth", "--json", f"{target}{below}"]) == 2
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1 and "target" in captured.err


@pytest.mark.rtl
def test_text_that_yosys_refuses_is_an_error_of_one_line() -> None:
    with pytest.raises(ToolError, match="synthesis failed"):
        synth.synthesize_files({"bad.v": "module bad(; endmodule\n"}, "bad")


def test_a_missing_tool_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    from rtl_gen import toolchain

    monkeypatch.setattr(toolchain, "find_spec", lambda _: None)
    assert main(["synth"]) == 2
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1 and "pip install" in captured.err
