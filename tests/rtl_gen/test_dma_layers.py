"""A chain's memory and the streams that `stamp-hw program` writes: the same bytes, in the order of the DMA's walk."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_gen.axi import stream_bytes
from rtl_gen.dma.layer import chain_layer, descriptor_words, job_widths
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.dma import walk
from stamp_hw.dma.descriptor import JOB, WORDS
from stamp_hw.dma.image import build
from stamp_hw.dma.order import ENTRY_BYTES
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.layer import Layer
from tb.dma.cases import chain


def hardware(rng: np.random.Generator) -> DmaParams:
    """Any small hardware, and any bus."""
    cols = int(rng.choice([1, 2, 4, 6]))
    lanes = int(rng.choice([1, 2, 3, 4, 8]))
    power = lanes & (lanes - 1) == 0
    hw = HwConfig(rows=int(rng.choice([1, 2, 3])), cols=cols, lanes=lanes, axes=int(rng.choice([1, 2])), max_levels=4,
                  rescale_lanes=int(rng.choice([one for one in range(1, cols + 1) if cols % one == 0])), max_k=70,
                  max_tokens=64, act_slots=int(rng.choice([24, 40])), in_width=int(rng.choice([8, 12, 16])),
                  packed_weights=bool(rng.integers(2)), hadamard=16 if power and rng.integers(2) else None,
                  block=4 * lanes if rng.integers(2) else None)
    return DmaParams(engine=EngineParams.of(hw), bus_width=int(rng.choice([64, 128, 256, 512])), burst_words=4)


def test_what_the_walk_gathers_is_what_the_streams_bring(rng: np.random.Generator) -> None:
    compared = 0
    for _ in range(40):
        params = hardware(rng)
        drawn, image = chain(params, rng, 2)
        memory = np.frombuffer(image.data, np.uint8)
        for one, layer in zip(drawn, image.layers, strict=True):
            beats = engine_streams.streams(one.layer, one.config, one.result)
            reads = walk.reads(layer, one.chained.table)
            weights = stream_bytes.weights(params.engine, beats["w"])
            assert walk.gather(memory, image.base, reads["wgt"]) == weights, one.name
            assert walk.gather(memory, image.base, reads["par"]) == stream_bytes.parameters(beats["p"]), one.name
            assert layer.places * ENTRY_BYTES == len(walk.gather(memory, image.base, reads["order"]))
            if one.chained.source is None:
                tokens = np.frombuffer(stream_bytes.activations(params.engine, beats["i"]), np.uint8)
                tokens = tokens.reshape(layer.places, -1)
                assert walk.gather(memory, image.base, reads["act"]) == tokens[:, : layer.act_bytes].tobytes(), one.name
                assert not tokens[:, layer.act_bytes :].any()
            exponents = (one.chained.table >> 16 & 15).tolist()
            assert exponents == stream_bytes.sink_shifts(beats["i"]), one.name
            compared += layer.places
    assert compared > 400


def test_what_the_walk_scatters_is_the_tensor_of_the_golden_model(rng: np.random.Generator) -> None:
    for _ in range(40):
        params = hardware(rng)
        drawn, image = chain(params, rng, 2)
        memory = np.frombuffer(image.data, np.uint8).copy()
        for number, (one, layer) in enumerate(zip(drawn, image.layers, strict=True)):
            beats = engine_streams.streams(one.layer, one.config, one.result)
            places = walk.writes(layer, one.chained.table, params)
            data = stream_bytes.results(beats["o"])
            assert sum(place.size for place in places) == len(data), one.name
            before = memory.copy()
            walk.scatter(memory, image.base, places, data)
            assert np.array_equal(image.results(memory.tobytes(), number), one.result.y), one.name
            start, size = layer.out - image.base, len(one.layer.x) * layer.out_stride
            assert np.array_equal(np.delete(memory, np.s_[start : start + size]),
                                  np.delete(before, np.s_[start : start + size])), "beside its own tensor"
            if one.chained.source is None:
                continue
            again = walk.gather(memory, image.base, walk.reads(layer, one.chained.table)["act"])
            tokens = np.frombuffer(stream_bytes.activations(params.engine, beats["i"]), np.uint8)
            assert again == tokens.reshape(layer.places, -1)[:, : layer.act_bytes].tobytes(), one.name


def test_a_descriptor_has_the_registers_of_its_hardware_and_no_others(rng: np.random.Generator) -> None:
    for _ in range(30):
        params = hardware(rng)
        widths = job_widths(params.engine)
        table = descriptor_words(params)
        assert set(widths) <= set(JOB) and len(table) == WORDS
        assert all((word.mask != 0) == (word.name in widths) for word in table if word.name in JOB)
        assert all(word.mask == (1 << widths[word.name]) - 1 for word in table if word.name in widths)


def test_a_layer_that_the_hardware_refuses_makes_no_image(rng: np.random.Generator) -> None:
    hw = HwConfig(rows=2, cols=2, lanes=2, max_k=8, max_tokens=16, act_slots=16, bus_width=64)
    layer = Layer("wide", rng.normal(0, 1, (4, 9)).astype(np.float32), rng.normal(0, 1, (3, 9)).astype(np.float32))
    with pytest.raises(ConfigError):
        config = NpuConfig(hw=hw)
        build([chain_layer(layer, config, run_linear(layer, config))], DmaParams.of(hw),
              descriptor_words(DmaParams.of(hw)))
