"""`hw.memory`: kinds by name, values that differ from them, what is refused, and the short form beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.memory_config import CONSTANTS, CUSTOM, KINDS, MemoryConfig

OWN = {"kind": CUSTOM, "bytes_per_s": 1e9, "latency_ns": 50, "burst": 16, "efficiency": 0.5}


def read(text: str, tmp_path: Path, **hw: Any) -> NpuConfig:
    path = tmp_path / "npu.yaml"
    path.write_text(text, encoding="utf-8")
    return NpuConfig.load(path, hw)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_fills_in_every_constant_each_with_its_source(kind: str, tmp_path: Path) -> None:
    for text in (kind, kind.lower(), f"{{kind: {kind}}}"):
        memory = read(f"hw: {{memory: {text}}}", tmp_path).hw.memory
        assert memory is not None and memory.kind == kind
        assert {name: getattr(memory, name) for name in CONSTANTS} == {
            name: value for name, (value, _) in KINDS[kind].items()}
        assert memory.sources == {name: source for name, (_, source) in KINDS[kind].items()}
    assert 0.5 <= memory.efficiency <= 0.9 and all(source for _, source in KINDS[kind].values())


def test_a_value_that_is_given_replaces_the_kinds_and_takes_the_source_that_is_given(tmp_path: Path) -> None:
    hw = read("hw: {memory: {kind: LPDDR5, bytes_per_s: 51.2e+9, source: two packages}}", tmp_path).hw
    assert hw.memory is not None and hw.dram_bytes_per_s == hw.memory.bytes_per_s == 51.2e9
    assert hw.memory.effective_bytes_per_s == 51.2e9 * KINDS["LPDDR5"]["efficiency"][0]
    assert hw.memory.sources["bytes_per_s"] == "two packages"
    assert hw.memory.sources["burst"] == KINDS["LPDDR5"]["burst"][1]


def test_a_custom_memory_has_all_its_constants_but_the_energy_given(tmp_path: Path) -> None:
    memory = MemoryConfig.parse(OWN)
    assert memory.pj_per_bit is None and set(memory.sources) == set(CONSTANTS) - {"pj_per_bit"}
    for name in CONSTANTS[:-1]:
        with pytest.raises(ConfigError, match=f"hw.memory.{name}: missing key"):
            MemoryConfig.parse({key: value for key, value in OWN.items() if key != name})


REFUSED = {
    "an unknown kind": ("DDR3", "hw.memory.kind: impossible value; got 'DDR3'; expected one of DDR4, LPDDR4"),
    "no kind": ({"burst": 32}, "hw.memory.kind: impossible value; got None"),
    "no memory": (7, "hw.memory: impossible value; got 7"),
    "an unknown key": ({"kind": "DDR4", "width": 64}, "hw.memory.width: unknown key"),
    "a rate of zero": (OWN | {"bytes_per_s": 0}, "hw.memory.bytes_per_s: impossible value; got 0"),
    "a rate below zero": (OWN | {"bytes_per_s": -1}, "hw.memory.bytes_per_s"),
    "a rate that is a word": (OWN | {"bytes_per_s": "fast"}, "hw.memory.bytes_per_s"),
    "a latency below zero": (OWN | {"latency_ns": -1}, "hw.memory.latency_ns"),
    "a latency that is true": (OWN | {"latency_ns": True}, "hw.memory.latency_ns"),
    "a burst of half a byte": (OWN | {"burst": 0.5}, "hw.memory.burst"),
    "no burst": (OWN | {"burst": 0}, "hw.memory.burst"),
    "more than the peak": (OWN | {"efficiency": 1.1}, "hw.memory.efficiency"),
    "nothing of the peak": (OWN | {"efficiency": 0}, "hw.memory.efficiency"),
    "an energy of zero": (OWN | {"pj_per_bit": 0}, "hw.memory.pj_per_bit"),
    "no source": (OWN | {"source": ""}, "hw.memory.source"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_memory_that_cannot_be_is_refused_by_its_key(what: str) -> None:
    value, message = REFUSED[what]
    with pytest.raises(ConfigError) as error:
        NpuConfig.from_dict({"hw": {"memory": value}})
    assert message in str(error.value)


def test_a_memory_that_is_too_slow_for_the_clock_is_refused() -> None:
    slow = OWN | {"bytes_per_s": 1e6}
    with pytest.raises(ConfigError, match=r"hw.memory.bytes_per_s: .* at least 2e\+08: 0.001 bytes a cycle"):
        NpuConfig.from_dict({"hw": {"memory": slow, "freq_hz": 1e11}})
    assert NpuConfig.from_dict({"hw": {"memory": slow, "freq_hz": 5e8}}).hw.memory is not None


def test_both_forms_of_a_memory_in_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hw.dram_bytes_per_s: .* not beside hw.memory"):
        read("hw: {memory: LPDDR4, dram_bytes_per_s: 25.6e+9}", tmp_path)
    with pytest.raises(ConfigError, match=r"hw.dram_bytes_per_s: .* not beside hw.memory"):
        HwConfig(memory=MemoryConfig.parse("LPDDR4"), dram_bytes_per_s=1e9)


def test_what_is_given_beside_a_file_takes_the_place_of_the_files_other_form(tmp_path: Path) -> None:
    hw = read("hw: {dram_bytes_per_s: 1.0e+9}", tmp_path, memory="HBM2").hw
    assert hw.memory is not None and hw.dram_bytes_per_s == KINDS["HBM2"]["bytes_per_s"][0]
    assert read("hw: {memory: HBM2}", tmp_path, dram_bytes_per_s=2e9).hw == HwConfig(dram_bytes_per_s=2e9)
    assert read("hw: {memory: HBM2}", tmp_path, memory=None).hw == HwConfig()


def test_a_configuration_is_read_back_from_what_it_says_and_says_nothing_of_a_memory_that_is_not_there() -> None:
    for memory in (*KINDS, OWN | {"pj_per_bit": 3}):
        config = NpuConfig.from_dict({"hw": {"memory": memory}})
        assert NpuConfig.from_dict(config.to_dict()) == config
        assert replace(config.hw, rows=4).memory == config.hw.memory
    assert "memory" not in NpuConfig().to_dict()["hw"]
