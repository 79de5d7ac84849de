"""`stamp-hw program --image`: the memory of a chain, and what must be in it once the chain has run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.axi import stream_bytes
from rtl_gen.delivery.chain import FILES
from rtl_gen.dma.layer import descriptor_words
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES, Descriptor
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import run_linear
from stamp_hw.formats.trace import Trace

HW = ("--hw", "act_slots=100", "--hw", "max_levels=4", "--job", "levels=2")
BUS = ("--hw", "bus_width=128")


def programmed(trace: Path, folder: Path, *more: str) -> dict[str, object]:
    outputs = ("--out", str(folder / "p.json"), "--image", str(folder / "image"))
    assert main(["program", str(trace), *HW, *BUS, *outputs, *more]) == 0
    found: dict[str, object] = json.loads((folder / "p.json").read_text(encoding="utf-8"))
    return found


def test_following_the_chain_turns_the_memory_before_into_the_memory_after(toy: Path, tmp_path: Path) -> None:
    """Each layer's results, in the order in which the engine sends them, written where the descriptor says."""
    said = programmed(toy, tmp_path, "--base", "0x40000")
    memory = np.fromfile(tmp_path / "image" / "memory.bin", np.uint8)
    config = NpuConfig.from_dict({name: said[name] for name in ("hw", "job", "kinds") if name in said})
    params = DmaParams.of(config.hw)
    table = descriptor_words(params)
    address: int | None = 0x40000
    with Trace.open(toy) as trace:
        for entry in said["memory"]["layers"]:  # type: ignore[index]
            assert address == entry["descriptor"]
            start = address - 0x40000
            one = Descriptor.decode(memory[start : start + BYTES].tobytes(), table)
            assert (one.out, one.act, one.wgt_bytes) == (entry["out"], entry["act"], entry["wgt_bytes"])
            order = np.frombuffer(walk.gather(memory, 0x40000, walk.reads(one, np.zeros(1, "<u4"))["order"]), "<u4")
            layer = trace.layer(entry["name"])
            beats = engine_streams.streams(layer, config, run_linear(layer, config))
            walk.scatter(memory, 0x40000, walk.writes(one, order, params), stream_bytes.results(beats["o"]))
            address = one.next
    assert address is None
    assert memory.tobytes() == (tmp_path / "image" / "memory_after.bin").read_bytes()
    assert len(memory) == said["memory"]["bytes"]  # type: ignore[index]


@pytest.mark.parametrize(("words", "message"), [
    ((*BUS, "--base", "0x80"), "base: unaligned; got 0x80; expected a multiple of 256"),
    ((*BUS, "--base", "0xffffffff00"), "base: beyond the bus's addresses of 40 bits; got 0xffffffff00; expected 0…0x"),
    ((*BUS, "--base", "-256"), "base: beyond the bus's addresses of 40 bits; got -0x100; expected 0…0xfffff"),
    ((), "no memory: this hardware has no DMA"),
])
def test_an_image_that_no_hardware_could_read_is_refused_and_nothing_is_written(
        toy: Path, tmp_path: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ("--out", str(tmp_path / "p.json"), "--image", str(tmp_path / "image"))
    code = main(["program", str(toy), *HW, *words, *outputs])
    said = capsys.readouterr().err
    assert code == 2 and message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", FILES)
def test_no_memory_is_written_where_one_of_the_two_cannot_be(file: str, toy: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image" / file).mkdir(parents=True)
    outputs = ("--out", str(tmp_path / "p.json"), "--image", str(tmp_path / "image"))
    assert main(["program", str(toy), *HW, *BUS, *outputs]) == 2
    assert f"{file}: cannot write file; got a directory; expected a regular file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["image", file]


def test_a_base_without_an_image_is_refused(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", str(toy), "--out", str(tmp_path / "p.json"), "--base", "256"]) == 2
    assert "expected --image as well" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["program", str(toy), "--out", str(tmp_path / "p.json"), "--base", "0x"])
    assert "an address is expected" in capsys.readouterr().err
