"""The configuration: defaults, resolution of `auto`, and refusals that name file and key path."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from stamp_hw.config import HwConfig, JobConfig, NpuConfig, auto_levels
from stamp_hw.errors import ConfigError, StampError
from stamp_hw.params import HaarParams, MacParams, RescaleParams, ScaleParams

# Ten levels of ten references each: small in memory, endless when printed.
BOMB = ", ".join(f"&x{i} [{', '.join([f'*x{i - 1}' if i else '1'] * 10)}]" for i in range(10))
BOMB = f"hw: {{rows: [{BOMB}]}}"
ROOT = Path(__file__).resolve().parents[2]


def load(tmp_path: Path, text: str) -> NpuConfig:
    path = tmp_path / "npu.yaml"
    path.write_text(text, encoding="utf-8")
    return NpuConfig.load(path)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_loads_and_survives_a_round_trip(path: Path) -> None:
    config = NpuConfig.load(path)
    assert NpuConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config
    for params in (HaarParams.forward, HaarParams.inverse, ScaleParams.of, MacParams.of, RescaleParams.of):
        params(config.hw)


def test_the_shipped_configurations_are_those_that_are_documented() -> None:
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} == {
        "default", "fpga", "image", "language", "npu32", "ulx3s"}


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, "") == NpuConfig()
    assert load(tmp_path, "hw:\njob:\n") == NpuConfig()


@pytest.mark.parametrize(("tokens", "grid", "levels", "n_hi"), [
    (512, None, 5, 16), (2048, None, 5, 64), (1, None, 0, 1), (33, None, 5, 2), (31, None, 5, 1), (2, None, 1, 1),
    (256, (16, 16), 3, 8), (4096, (64, 64), 3, 128), (35, (5, 7), 3, 2), (1, (1, 1), 0, 1),
])
def test_auto_levels_and_n_hi_follow_the_contract(tokens: int, grid: tuple[int, int] | None, levels: int,
                                                  n_hi: int) -> None:
    job = NpuConfig().resolve(tokens, grid)
    assert (job.levels, job.n_hi, job.warnings) == (levels, n_hi, ())
    exact = min(8, math.ceil(math.log2(tokens / n_hi))) if tokens > n_hi else 0
    assert job.levels == (exact if grid is None else math.ceil(exact / 2))


def test_auto_levels_counts_up_to_eight_and_no_further() -> None:
    assert [auto_levels(1 << power, 1, False) for power in range(11)] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]
    assert auto_levels(1000, 0, False) == auto_levels(1000, 1, False) == 8


def test_average_bits_count_outliers_beside_those_of_their_places() -> None:
    job = NpuConfig().resolve(64, n_sink=2)
    assert (job.n_hi, job.n_sink) == (2, 2)
    assert job.average_bits == (4 * 8 + 62 * 4) / 64


@pytest.mark.parametrize(("given", "outliers"), [
    ("auto", (3, 9)), ("off", ()), (False, ()), ([0, 17], (0, 17)), (5, (5,)), ("0,17", (0, 17)), (0, (0,))])
def test_a_job_names_outliers_or_takes_the_layers(given: object, outliers: tuple[int, ...]) -> None:
    job = NpuConfig.from_dict({"job": {"outliers": given}}).job
    assert job.outliers_of((3, 9), 64) == outliers


@pytest.mark.parametrize(("given", "said"), [
    ([64], r"job.outliers: .* got \[64\]; expected ascending positions in 0…63"), ([9, 3], "ascending positions"),
    ([3, 3], "ascending positions"), ([0, 1, 2], r"at most 2 of 64 tokens")])
def test_outliers_that_are_no_tokens_or_too_many_are_refused(given: list[int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        NpuConfig().with_job(outliers=given).job.outliers_of((), 64)


def test_fewer_levels_than_the_map_needs_are_warned_about() -> None:
    assert NpuConfig().with_job(levels=4).resolve(2048).warnings
    assert not NpuConfig().with_job(levels=0).resolve(2048).warnings  # no transform on purpose
    assert not NpuConfig().with_job(levels=8).resolve(2048).warnings


def test_a_layer_without_transform_has_no_levels_whatever_the_job_says() -> None:
    for levels in ("auto", 4):
        job = NpuConfig().with_job(levels=levels).resolve(2048, transform=False)
        assert (job.levels, job.n_hi, job.warnings) == (0, 64, ())
    assert NpuConfig().with_hw(max_levels=2).with_job(levels=0).resolve(16, (4, 4), transform=False).levels == 0


def test_auto_levels_respect_the_hardware() -> None:
    assert NpuConfig().with_hw(max_levels=3).resolve(2048).levels == 3
    assert NpuConfig().with_hw(max_levels=5).resolve(4096, (64, 64)).levels == 2


@pytest.mark.parametrize(("config", "arguments", "key"), [
    (NpuConfig().with_hw(max_tokens=100), {"tokens": 101}, "tokens"),
    (NpuConfig().with_hw(max_k=64), {"tokens": 8, "k": 65}, "k"),
    (NpuConfig().with_hw(axes=1), {"tokens": 4, "grid": (2, 2)}, "grid"),
    (NpuConfig(), {"tokens": 5, "grid": (2, 2)}, "grid"),
    (NpuConfig(), {"tokens": 0}, "grid"),
    (NpuConfig().with_hw(max_levels=4).with_job(levels=5), {"tokens": 99}, "levels"),
    (NpuConfig().with_hw(max_levels=5).with_job(levels=3), {"tokens": 4096, "grid": (64, 64)}, "levels"),
    (NpuConfig(), {"tokens": 4, "grid": (2, 2), "n_sink": 1}, "outliers"),
    (NpuConfig(), {"tokens": 3, "grid": (2, 2), "n_sink": 1}, "outliers: impossible value; got 1; expected none on a"),
])
def test_a_job_beyond_the_hardware_is_refused_by_name(config: NpuConfig, arguments: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=f"job.{key}"):
        config.resolve(**arguments)


@pytest.mark.parametrize(("text", "where"), [
    ("hw: {rows: 0}", "hw.rows"), ("hw: {rows: 2.5}", "hw.rows"), ("hw: {rows: true}", "hw.rows"),
    ("hw: {rows: '8'}", "hw.rows"), ("hw: {rows: null}", "hw.rows"),
    ("hw: {cols: 8, rescale_lanes: 3}", "hw.rescale_lanes"), ("hw: {max_levels: 9}", "hw.max_levels"),
    ("hw: {max_k: 20000}", "hw.max_k"), ("hw: {acc_width: 20}", "hw.acc_width"),
    ("hw: {freq_hz: -1}", "hw.freq_hz"), ("hw: {freq_hz: .nan}", "hw.freq_hz"), ("hw: {freq_hz: .inf}", "hw.freq_hz"),
    ("hw: {technology: ../x}", "hw.technology"), ("hw: {colour: red}", "hw.colour"), ("jobs: {}", "jobs"),
    ("job: {levels: -1}", "job.levels"), ("job: {levels: 9}", "job.levels"), ("job: {levels: many}", "job.levels"),
    ("job: {n_hi: -3}", "job.n_hi"), ("job: {scale_mode: log}", "job.scale_mode"),
    ("job: {weight_bits: 5}", "job.weight_bits"), ("job: {weight_bits: 4.0}", "job.weight_bits"),
    ("hw:\n  rows: 8\n  cols: 4\n  rows: 2", "npu.yaml, line 4: hw.rows: key is given twice"),
    ("hw: {}\njob: {}\nhw: {}", "npu.yaml, line 3: hw: key is given twice"),
    ("hw:\n  rows: 8\n cols: 4", "npu.yaml, line 3, column 2: not YAML"),
    ("hw: {rows: 0x1" + 5000 * "0" + "}", "npu.yaml, line 1: hw.rows: number with too many digits"),
    ("hw: {rows: " + 100_000 * "a" + "}", "hw.rows"), ("hw: {technology: " + 100_000 * "a" + "}", "hw.technology"),
    ("hw: {? " + 100_000 * "a" + " : 1}", "hw.aaaa"), ("hw: {? 0x1" + 5000 * "0" + " : 1}", "too many digits"),
    (BOMB, "hw.rows"), (BOMB.replace("hw:", "job:").replace("rows", "levels"), "job.levels"),
    ("hw: &a {<<: *a}", "no plain text"), ("hw: {[1]: 2}", "no plain text"), ("hw: &a [*a]", "hw"),
    (100_000 * "[", "npu.yaml"), ("#" * (1 << 20) + "\n", "a longer file"),
    ('hw: {"a\\e[31m\\nb": 1}', "hw.a\\x1b[31m\\nb"), ('hw: {rows: "\\e[31m"}', "hw.rows"),
    ("hw: {freq_hz: 1e5000}", "hw.freq_hz"), ("hw: {rows: 2020-99-99}", "npu.yaml"),
    ("job: {scale_mode: [1]}", "job.scale_mode"), ("job: {weight_bits: [4]}", "job.weight_bits"),
    ("job: {group: 0}", "job.group"), ("job: {calibration: best}", "job.calibration"),
    ("job: {outliers: -1}", "job.outliers"), ("job: {outliers: [a]}", "job.outliers"),
    ("job: {outliers: []}", "auto, off"), ("job: {outliers: true}", "job.outliers"),
    ("job: {n_sink: 1}", "outliers names the tokens"),
    ("hw: 3", "hw"), ("[1, 2]", "npu.yaml"), ("a: b: c", "npu.yaml"),
    ("hw: {rows: [}", "npu.yaml"), ("hw: {1: 2}", "hw.1"), ("\0", "npu.yaml"),
    ("!!python/object:os.system {}", "npu.yaml"),
])
def test_impossible_files_are_refused_with_file_and_key_path_in_one_line(tmp_path: Path, text: str,
                                                                         where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    line = str(caught.value)
    assert where in line and "npu.yaml" in line and line.isprintable() and len(line) < 1000


@pytest.mark.parametrize("make", [lambda path: path / "missing.yaml", lambda path: path])
def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="cannot read configuration"):
        NpuConfig.load(make(tmp_path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "npu.yaml").write_bytes(b"\xff\xfe\x00hw")
    with pytest.raises(ConfigError, match="npu.yaml"):
        NpuConfig.load(tmp_path / "npu.yaml")


def test_the_accumulator_must_hold_the_largest_sum() -> None:
    assert HwConfig(max_k=16384, acc_width=30).acc_width == 30
    with pytest.raises(ConfigError, match="acc_width"):
        HwConfig(max_k=16384, acc_width=29)


def test_32768_channels_need_hardware_of_one_axis() -> None:
    assert HwConfig(max_k=32768, axes=1).max_k == 32768 and HwConfig(max_k=16384, axes=2).max_k == 16384
    with pytest.raises(ConfigError) as caught:
        HwConfig(max_k=16385)
    assert str(caught.value) == (
        "hw.max_k: impossible value; got 16385; expected at most 16384 with axes = 2, 32768 with axes = 1")
    with pytest.raises(ConfigError, match="hw.max_k.*got 32769; expected an integer in 1…32768"):
        HwConfig(max_k=32769, axes=1)
    with pytest.raises(ConfigError, match="acc_width.*at least 31 at max_k = 32768"):
        HwConfig(max_k=32768, axes=1, acc_width=30)


def test_configurations_are_values() -> None:
    assert JobConfig() == JobConfig(levels="auto") and hash(NpuConfig()) == hash(NpuConfig())
    with pytest.raises(AttributeError):
        NpuConfig().hw.rows = 3  # type: ignore[misc]


@pytest.mark.parametrize("text", ["5e8", "5E8", "5.e8", "5.0e8", "+5e+8", "500e6", "5.0e+8", "500000000"])
def test_floats_are_read_as_everyone_writes_them(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, f"hw: {{freq_hz: {text}}}").hw.freq_hz == 5e8


def test_anchors_are_allowed(tmp_path: Path) -> None:
    assert load(tmp_path, "hw: {rows: &n 4, cols: *n}").hw.cols == 4


@pytest.mark.parametrize("value", [10**5000, "x" * 10**6, [[[list(range(99))] * 99] * 99] * 99, {"a": 10**5000}],
                         ids=["number", "text", "lists", "dictionary"])
def test_any_value_is_refused_in_a_short_line(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        HwConfig(rows=value)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 250
    assert len(str(StampError("odd", where="w" * 9999, got=value, expected="e" * 9999))) < 1500


def test_a_message_holds_no_control_characters_and_shows_line_ends_of_names() -> None:
    error = StampError("bad", where="a\nb\x1b[2J\u202e\udc80", got="one\n  two\x07", expected="x")
    assert str(error) == "a\\nb\\x1b[2J\\u202e\\udc80: bad; got one two\\x07; expected x"


def test_the_default_of_rescale_lanes_divides_every_cols() -> None:
    for cols in range(1, 257):
        lanes = HwConfig(cols=cols).drain_lanes
        assert lanes == max(d for d in range(1, cols + 1) if cols % d == 0 and d <= max(1, cols / 8))
    assert [HwConfig(cols=cols).drain_lanes for cols in (1, 8, 28, 32, 256)] == [1, 1, 2, 4, 32]
