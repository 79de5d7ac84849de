"""Descriptors, order tables and walks of the DMA (stamp_hw/dma): nothing but NumPy."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from stamp_hw import outliers as outlier_tokens
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import BYTES, COUNTS, JOB, MAGIC, WORDS, Descriptor, words
from stamp_hw.dma.image import ALIGNMENT, ChainLayer, build
from stamp_hw.dma.order import ENDS, EXPONENT_AT, SUPPRESS, order_table, super_tiles, tokens_of
from stamp_hw.dma.params import PAGE_BYTES, DmaParams
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError

PARAMS = DmaParams(engine=EngineParams.of(HwConfig(rows=2, cols=4, lanes=4, rescale_lanes=2, max_k=64, max_tokens=64,
                                                   act_slots=24, max_levels=4)), bus_width=64, burst_words=4)
WIDTHS = {"width": 7, "height": 7, "columns": 16, "levels": 3, "out_beats": 2, "out_keep": 2}
TABLE = words(PARAMS, WIDTHS)
#: Word → what it holds: the format that drivers are written for. A change here is another version.
PLACES = {"magic": 0, "flags": 1, "next": 2, "next_high": 3, "order": 4, "order_high": 5, "act": 6, "act_high": 7,
          "wgt": 8, "wgt_high": 9, "par": 10, "par_high": 11, "out": 12, "out_high": 13, "places": 14, "act_bytes": 15,
          "act_stride": 16, "wgt_bytes": 17, "par_bytes": 18, "repeats": 19, "out_stride": 20, "width": 24,
          "height": 25, "two_d": 26, "levels": 27, "n_sink": 28, "symmetric": 29, "beats": 30, "tail": 31,
          "columns": 32, "out_beats": 33, "out_keep": 34, "tile_width": 35, "tile_height": 36, "hi_order": 37,
          "hi_band": 38, "hi_row": 39, "hi_column": 40, "blocks": 41, "packed": 42, "weight_group": 43,
          "hadamard": 44, "hadamard_shift": 45, "in_beats": 46, "in_tail": 47}


def drawn(rng: np.random.Generator) -> Descriptor:
    """A descriptor of any values that its words may have."""
    address = (1 << PARAMS.address_width) - 1 & ~7
    values = {name: int(rng.integers(1 << 34)) * 8 & address for name in ("order", "act", "wgt", "par", "out")}
    counts = {name: int(rng.integers(1, 1 << 20)) * 8 for name in COUNTS}
    job = {name: int(rng.integers(1 << width)) for name, width in WIDTHS.items()}
    following = int(rng.integers(1 << 31)) * BYTES & address if rng.random() < 0.5 else None
    return Descriptor(**values, **counts, registers=job, next=following, interrupt=bool(rng.random() < 0.5))


def test_a_descriptor_comes_back_from_its_bytes(rng: np.random.Generator) -> None:
    for _ in range(50):
        one = drawn(rng)
        data = one.encode(TABLE)
        assert len(data) == BYTES and Descriptor.decode(data, TABLE) == one
        word = np.frombuffer(data, "<u4").astype(np.uint64)
        assert word[0] == MAGIC == 0x53440001 and word[1] == (one.next is None) + 2 * one.interrupt
        assert int(word[6] | word[7] << np.uint64(32)) == one.act and word[PLACES["act_stride"]] == one.act_stride
        assert all(word[PLACES[name]] == value for name, value in one.registers.items())


def test_every_word_is_where_drivers_look_for_it() -> None:
    full = words(PARAMS, dict.fromkeys(JOB, 32))
    assert {word.name: index for index, word in enumerate(full) if word.name} == PLACES
    assert set(JOB) == {field.name for field in fields(EngineJob)} and len(full) == WORDS


def test_every_bit_that_may_not_be_set_and_every_zero_that_may_not_be_is_refused(rng: np.random.Generator) -> None:
    one = drawn(rng)
    data = np.frombuffer(one.encode(TABLE), "<u4")
    refused = 0
    for index, word in enumerate(TABLE):
        tried = [data[index] | 1 << bit for bit in range(32) if not word.mask >> bit & 1] + [0] * word.needed
        tried += [data[0] ^ 1 << bit for bit in range(32)] if index == 0 else []
        for value in tried:
            changed = data.copy()
            changed[index] = value
            with pytest.raises(ConfigError, match=f"{word.name or 'reserved'}|not a descriptor"):
                Descriptor.decode(changed.tobytes(), TABLE)
            refused += 1
    assert refused > 1000
    for length in (0, BYTES - 1, BYTES + 1):
        with pytest.raises(ConfigError, match="not a descriptor; got"):
            Descriptor.decode(bytes(length), TABLE)


@pytest.mark.parametrize(("field", "value"), [
    ("act", 4), ("act", 1 << 40), ("out_stride", 4), ("out_stride", 1 << 26), ("places", 0), ("places", 1 << 30),
    ("wgt_bytes", 1 << 32), ("wgt_bytes", -1), ("next", 128), ("registers", {"width": 128}),
    ("registers", {"symmetric": 1}), ("registers", {"colour": 1})])
def test_what_no_descriptor_can_say_is_refused_when_it_is_written(rng: np.random.Generator, field: str, value: object
                                                                 ) -> None:
    with pytest.raises(ConfigError):
        replace(drawn(rng), **{field: value}).encode(TABLE)


def order_of(tokens: int, outliers: tuple[int, ...], levels: int = 2) -> tuple[EngineJob, np.ndarray]:
    config = NpuConfig(hw=PARAMS.engine.hw).with_job(levels=levels, n_hi=2)
    resolved = config.resolve(tokens, None, n_sink=len(outliers))
    job = EngineJob.of(resolved, k=5, n=9, params=PARAMS.engine, limit=8)
    return job, order_table(PARAMS.engine, job, outliers, list(range(1, 1 + len(outliers))))


@pytest.mark.parametrize(("tokens", "outliers"), [(8, ()), (33, (0,)), (40, (5, 6)), (39, (38,)), (64, (0, 63))])
def test_outliers_come_first_and_each_token_is_written_once(tokens: int, outliers: tuple[int, ...]) -> None:
    job, table = order_of(tokens, outliers)
    count = len(outliers)
    assert len(table) == tokens + count and table[-1] & ENDS
    assert tokens_of(table)[:count].tolist() == list(outliers)
    assert ((table >> EXPONENT_AT) & 15).tolist() == [*range(1, 1 + count), *[0] * tokens]
    kept = table & SUPPRESS == 0
    assert sorted(tokens_of(table)[kept].tolist()) == list(range(tokens))
    filled = tokens_of(table)[~kept].tolist()
    assert filled == [outlier_tokens.places(tokens, outliers).order[count + one] for one in outliers]
    assert [len(part) for part in super_tiles(table)] == [min(8, tokens - start) + count * (start == 0)
                                                          for start in range(0, tokens, 8)]
    assert job.n_sink == count


def test_bursts_cover_their_words_and_cross_no_page(rng: np.random.Generator) -> None:
    for bus_width in (64, 128, 256, 512):
        for burst_words in (2, 16, min(256, PAGE_BYTES * 8 // bus_width)):
            params = replace(PARAMS, bus_width=bus_width, burst_words=burst_words, fifo_words=max(64, burst_words))
            word = params.bus_bytes
            segments = [(int(rng.integers(1 << 20)), int(rng.integers(1, 6000))) for _ in range(40)]
            for address, size in segments:
                found = walk.bursts([(address, size)], params)
                covered = [start + word * index for start, count in found for index in range(count)]
                assert covered == list(range(address // word * word, address + size, word))
                for start, count in found:
                    assert 1 <= count <= burst_words and start // PAGE_BYTES == (start + count * word - 1) // PAGE_BYTES
                assert len(found) <= 2 + size // (word * burst_words)


def test_the_parts_of_an_image_are_aligned_apart_and_chained(rng: np.random.Generator) -> None:
    table, job = TABLE, dict.fromkeys(WIDTHS, 1)
    layers = [ChainLayer(registers=job, table=np.arange(5, dtype=np.uint32), weights=b"w" * 12,
                         parameters=b"p" * 64, repeats=2, channels=(5, 9), tokens=3, source=source,
                         codes=None if source is not None else rng.integers(-9, 9, (3, 5)))
              for source in (None, 0, None)]
    image = build(layers, PARAMS, table, base=0x1000)
    parts = [(0x1000 + BYTES * n, BYTES) for n in range(3)]
    for number, (layer, one) in enumerate(zip(layers, image.layers, strict=True)):
        data = np.frombuffer(image.data, np.uint8)
        assert Descriptor.decode(image.data[BYTES * number :][:BYTES], table) == one
        assert one.next == (None if number == 2 else 0x1000 + BYTES * (number + 1)) and one.interrupt == (number == 2)
        found = walk.reads(one, layer.table)
        assert walk.gather(data, 0x1000, found["wgt"]) == layer.weights * 2
        assert walk.gather(data, 0x1000, found["order"]) == layer.table.tobytes()
        parts += [(one.order, 20), (one.wgt, 12), (one.par, 64), (one.out, 3 * one.out_stride)]
        if layer.codes is not None:
            assert walk.gather(data, 0x1000, [(one.act + t * one.act_stride, 10) for t in range(3)]
                               ) == layer.codes.astype("<i2").tobytes()
            parts.append((one.act, 3 * one.act_stride))
    assert (image.layers[1].act, image.layers[1].act_stride) == (image.layers[0].out, image.layers[0].out_stride)
    ordered = sorted(parts)
    assert all(start + size <= after for (start, size), (after, _) in zip(ordered, ordered[1:], strict=False))
    assert all(start % ALIGNMENT == 0 for start, _ in parts)
    with pytest.raises(ConfigError, match="unaligned"):
        build(layers, PARAMS, table, base=128)


@pytest.mark.parametrize(("field", "value"), [("bus_width", 32), ("bus_width", 96), ("address_width", 31),
                                              ("burst_words", 3), ("burst_words", 1024), ("fifo_words", 2),
                                              ("fifo_words", 24)])
def test_impossible_parameters_are_refused(field: str, value: int) -> None:
    with pytest.raises(ConfigError):
        replace(PARAMS, **{field: value})


def test_hardware_without_a_bus_has_no_dma() -> None:
    with pytest.raises(ConfigError, match="hw.bus_width"):
        DmaParams.of(HwConfig())
    assert DmaParams.of(HwConfig(bus_width=256)).bus_bytes == 32
    assert "bus_width" not in HwConfig().to_dict() and HwConfig(bus_width=64).to_dict()["bus_width"] == 64
    for width in (True, 65, 128.0, "128"):
        with pytest.raises(ConfigError, match="hw.bus_width"):
            HwConfig(bus_width=width)  # type: ignore[arg-type]
