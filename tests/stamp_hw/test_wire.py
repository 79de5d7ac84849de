"""Bytes on the engine's streams (stamp_hw/engine/wire.py): what a report charges is what `stamp-hw program --data`
writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim import memory
from sim.task import Task
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, JobConfig, NpuConfig, ResolvedJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import WeightFormat, beat_bytes, result_beat_bytes
from stamp_hw.errors import ConfigError
from tests.support.simulate_cases import write_one

ROOT = Path(__file__).parents[2]
STREAMS = {"activations": "s_axis_act", "weights": "s_axis_wgt", "scales": "s_axis_par", "outputs": "m_axis_out"}


def compare(trace: Path, folder: Path, *options: str) -> int:
    """Layers whose operands in the report are the sizes of the files, every one of them."""
    program, report = folder / "program.json", folder / "report.json"
    assert main(["program", str(trace), *options, "--out", str(program), "--data", str(folder / "data")]) == 0
    assert main(["simulate", str(trace), *options, "--schemes", "stamp", "--json", str(report)]) == 0
    layers = json.loads(program.read_text(encoding="utf-8"))["layers"]
    charged = json.loads(report.read_text(encoding="utf-8"))["layers"]
    assert [layer["name"] for layer in layers] == list(charged)
    for layer in layers:
        figures = charged[layer["name"]]["stamp"]
        written = {operand: (folder / "data" / layer["streams"][stream]["file"]).stat().st_size
                   for operand, stream in STREAMS.items()}
        assert figures["dram_bytes_by_operand"] == written, layer["name"]
        assert figures["dram_bytes"] == sum(written.values())
        moved = figures["energy_by_component"]["dram"]["events"]
        assert {operand: event["count"] for operand, event in moved.items()} == written
    return len(layers)


@pytest.mark.parametrize(("trace", "config", "layers"), [
    ("llama_small", "default", 15), ("llama_small", "fpga", 15), ("pixart_small", "default", 26),
    ("pixart_small", "npu32", 26)])
def test_bytes_of_a_report_are_those_that_program_writes_operand_by_operand(trace: str, config: str, layers: int,
                                                                          tmp_path: Path) -> None:
    found = compare(ROOT / "models" / "traces" / f"{trace}.safetensors", tmp_path, "--config",
                    str(ROOT / "configs" / f"{config}.yaml"))
    assert found == layers


def test_they_are_for_widths_and_channels_that_fill_no_whole_beat(tmp_path: Path, rng: np.random.Generator) -> None:
    for number, (width, lanes, cols) in enumerate(((8, 3, 6), (9, 4, 5), (16, 7, 3))):
        folder = tmp_path / str(number)
        folder.mkdir()
        trace = write_one(folder / "t", rng.standard_normal((37, 29)).astype(np.float32))
        values = {"in_width": width, "lanes": lanes, "cols": cols, "rows": 2, "act_slots": 20}
        options = [word for name, value in values.items() for word in ("--hw", f"{name}={value}")]
        assert compare(trace, folder, *options) == 1
        packed = [*options, "--hw", "packed_weights=true"]
        for group in ("null", "32", "64"):
            assert compare(trace, folder, *packed, "--job", f"weight_group={group}") == 1
        sizes = {name: (folder / "data" / f"layer000_{name}.bin").read_bytes() for name in ("act", "wgt", "par", "out")}
        assert compare(trace, folder, *packed, "--job", "weight_group=64", "--hw", "pad_beats=true") == 1
        plain, wide = (beat_bytes(HwConfig(in_width=width, lanes=lanes, cols=cols, pad_beats=pad))
                       for pad in (False, True))
        for name, stream in (("act", "i"), ("wgt", "w"), ("par", "p")):
            padded = (folder / "data" / f"layer000_{name}.bin").read_bytes()
            beats = [padded[at : at + wide[stream]] for at in range(0, len(padded), wide[stream])]
            assert b"".join(beat[: plain[stream]] for beat in beats) == sizes[name]
            assert not any(any(beat[plain[stream] :]) for beat in beats)
        assert (folder / "data" / "layer000_out.bin").read_bytes() == sizes["out"], "TKEEP leaves their padding out"


def test_packed_weights_move_the_bytes_counted_by_hand() -> None:
    job = ResolvedJob(tokens=512, grid=None, levels=3, n_hi=64, n_sink=0)
    hw = HwConfig(rows=8, cols=8, lanes=8, act_slots=64, packed_weights=True)
    # 193 input channels: 97 beats of two nibbles a column, and of (u, z) one for each group of 32, 64, 128.
    for group, beats in ((None, 97), (32, 97 + 7), (64, 97 + 4), (128, 97 + 2)):
        weights = WeightFormat.of(hw, JobConfig(weight_group=group))
        assert memory.dram_bytes(Task(job=job, k=193, n=512, weights=weights), hw, 5).weights == 5 * 64 * beats * 8
    for at, bits, group in ((hw, 8, None), (HwConfig(), 4, 32)):
        other = WeightFormat.of(at, JobConfig(weight_bits=bits, weight_group=group))
        assert memory.dram_bytes(Task(job=job, k=193, n=512, weights=other), hw, 5).weights == 5 * 64 * 193 * 8


def test_a_layer_of_the_fpga_preset_moves_the_bytes_counted_by_hand() -> None:
    hw = HwConfig(rows=8, cols=8, lanes=8, act_slots=64)
    task = Task(job=ResolvedJob(tokens=512, grid=None, levels=3, n_hi=64, n_sink=0), k=192, n=512)
    # Five super-tiles of 64 column tiles: 192 steps of 8 bytes and 8 channels of 16 bytes each.
    assert memory.dram_bytes(task, hw, 5) == memory.DramBytes(
        weights=5 * 64 * 192 * 8, activations=512 * 192 * 2, scales=5 * 64 * 8 * 16, outputs=512 * 512 * 2)


def test_blocks_move_the_bytes_of_a_scale_a_token() -> None:
    job, hw = ResolvedJob(tokens=64, grid=None, levels=2, n_hi=2, n_sink=0), HwConfig(block=32)
    whole, blocks = (memory.dram_bytes(Task(job=job, k=128, n=16, group=group), hw, 1) for group in (None, 32))
    assert whole == blocks == memory.dram_bytes(Task(job=job, k=128, n=16), HwConfig(), 1)


def test_hardware_and_its_engine_have_the_same_beats() -> None:
    hw = HwConfig(lanes=5, cols=6, in_width=9, rescale_lanes=2)
    assert beat_bytes(hw) == beat_bytes(EngineParams.of(hw)) == {"i": 10, "w": 6, "p": 16}
    hw = replace(hw, pad_beats=True)
    assert beat_bytes(hw) == beat_bytes(EngineParams.of(hw)) == {"i": 16, "w": 8, "p": 16}
    assert result_beat_bytes(EngineParams.of(HwConfig(cols=6, rescale_lanes=3))) == 6
    assert result_beat_bytes(EngineParams.of(HwConfig(cols=6, rescale_lanes=3, pad_beats=True))) == 8


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs").glob("*.yaml")))
def test_every_beat_of_a_shipped_configuration_is_a_power_of_two_of_bytes_as_it_is(name: str) -> None:
    hw = NpuConfig.load(ROOT / "configs" / f"{name}.yaml").hw
    padded = replace(hw, pad_beats=True)
    assert not hw.pad_beats and beat_bytes(hw) == beat_bytes(padded)
    assert result_beat_bytes(EngineParams.of(hw)) == result_beat_bytes(EngineParams.of(padded))


@pytest.mark.parametrize(("values", "message"), [
    ({"lanes": 65, "max_k": 65}, r"hw\.lanes.*got 65; expected at most 64 with pad_beats"),
    ({"lanes": 129, "in_width": 8}, r"hw\.lanes.*got 129; expected at most 128 with pad_beats"),
    ({"cols": 129}, r"hw\.cols.*got 129; expected at most 128 with pad_beats"),
    ({"cols": 128, "rescale_lanes": 128}, r"hw\.rescale_lanes.*got 128; expected at most 64 with pad_beats"),
    ({"pad_beats": 1}, r"hw\.pad_beats.*got 1; expected true or false")])
def test_a_beat_of_more_than_1024_bits_is_not_padded_but_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HwConfig(**({"pad_beats": True} | values))  # type: ignore[arg-type]
    if "pad_beats" not in values:
        HwConfig(**values)  # type: ignore[arg-type]


def test_a_configuration_says_that_its_beats_are_padded_only_where_they_are() -> None:
    assert "pad_beats" not in HwConfig().to_dict() and HwConfig(pad_beats=True).to_dict()["pad_beats"] is True
    assert NpuConfig().with_hw(pad_beats=True).to_dict()["hw"]["pad_beats"] is True
