"""`stamp-hw tune`: the choice is the best there is and holds on tokens that it has not seen; every command takes it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim.commands import tune as tune_command
from sim.studies import tune
from sim.studies.tune import Choice, Option
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.errors import StampError
from stamp_hw.formats.trace import Trace, TraceWriter
from stamp_hw.layer import Layer
from tests.support.golden_cases import SEED, reproduce  # noqa: F401

ROOT = Path(__file__).parents[2]
TRACE = ROOT / "models" / "traces" / "llama_small.safetensors"


def smooth(rng: np.random.Generator, grid: tuple[int, int] | None = None, tokens: int = 64) -> np.ndarray:
    """float32[S, 24]: tokens like their neighbours, along both axes of a grid."""
    height, width = grid or (1, tokens)
    x = rng.standard_normal((height, width, 24))
    for axis in (0, 1):
        x = np.cumsum(x, axis=axis) if x.shape[axis] > 1 else x
    return x.reshape(-1, 24).astype(np.float32)


def layer(name: str, kind: str, x: np.ndarray, **options: Any) -> Layer:
    rng = np.random.default_rng([SEED, len(name)])
    return Layer(name, x, rng.standard_normal((20, x.shape[1])).astype(np.float32), kind=kind, **options)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Three kinds: smooth tokens, noise of which no transform makes anything, and a grid."""
    rng = np.random.default_rng(SEED)
    path = tmp_path / "t.safetensors"
    inputs = {"smooth": smooth(rng), "noise": rng.standard_normal((64, 24)).astype(np.float32),
              "grid": smooth(rng, (12, 10))}
    with TraceWriter(path, {"model": "drawn"}) as writer:
        for kind, x in inputs.items():
            writer.add_input(kind, x, "float32")
            for number in range(2):
                weight = rng.standard_normal((20, 24)).astype(np.float32)
                writer.add_layer(name=f"{kind}.{number}", kind=kind, input_key=kind, weight=weight, dtype="float32",
                                 grid=(12, 10) if kind == "grid" else None)
    return path


def test_the_choice_is_the_best_of_all_combinations() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(40):
        kinds = {f"kind{index}": [Option(Choice(0, number, "minmax"), float(rng.integers(4, 40)),
                                         float(rng.integers(0, 30))) for number in range(int(rng.integers(1, 6)))]
                 for index in range(int(rng.integers(1, 5)))}
        least = sum(min(way.bits for way in ways) for ways in kinds.values())
        budget = least + float(rng.integers(0, 60))
        chosen = tune.choose(kinds, budget, 1)
        score = sum(next(way.score for way in kinds[kind] if way.choice == choice) for kind, choice in chosen.items())
        bits = sum(next(way.bits for way in kinds[kind] if way.choice == choice) for kind, choice in chosen.items())
        best = max(sum(way.score for way in combination) for combination in itertools.product(*kinds.values())
                   if sum(way.bits for way in combination) <= budget)
        assert bits <= budget and score == best
        with pytest.raises(StampError, match="budget below"):
            tune.choose(kinds, least - 1, 1)


def test_a_candidates_figure_is_what_the_golden_model_finds() -> None:
    """With the identity as weights the output's noise is the input's, which `run_linear` reports."""
    rng = np.random.default_rng(SEED)
    for grid in (None, (8, 6)):
        x = smooth(rng, grid)
        one = Layer("one", x, np.eye(24, dtype=np.float32), grid=grid)
        config = NpuConfig()
        choices = tune.candidates(config, [one])
        for choice, (decibels, bits) in tune.sqnr(one, config, choices).items():
            result = linear.run_linear(one, choice.apply(config))
            assert abs(decibels - result.sqnr_db) < 1e-3, choice
            assert bits == result.job.average_bits


def test_every_level_that_changes_something_is_a_candidate() -> None:
    rng = np.random.default_rng(SEED)

    def levels(one: Layer, **hw: Any) -> set[int]:
        return {choice.levels for choice in tune.candidates(NpuConfig().with_hw(**hw), [one])}

    assert levels(layer("a", "k", smooth(rng))) == set(range(7)), "2^6 tokens"
    assert levels(layer("a", "k", smooth(rng, (12, 10)), grid=(12, 10))) == set(range(5)), "12 rows"
    assert levels(layer("a", "k", smooth(rng)), max_levels=3) == set(range(4))
    assert levels(layer("a", "k", smooth(rng, (12, 10)), grid=(12, 10)), max_levels=4) == set(range(3))
    assert levels(layer("a", "k", smooth(rng), transform=False)) == {0}


def test_a_layer_of_zeros_has_no_say() -> None:
    rng = np.random.default_rng(SEED)
    loud = [layer(f"l{index}", f"kind{index}", smooth(rng)) for index in range(2)]
    silent = layer("zero", "silent", np.zeros((64, 24), np.float32))
    alone, together = (tune.tune(layers, layers, NpuConfig(), 5.0).kinds for layers in (loud, [silent, *loud]))
    assert all(choice.n_hi != 0 for choice in alone.values())
    assert {kind: together[kind].n_hi for kind in alone} != {kind: 0 for kind in alone}
    assert together["silent"].n_hi == 0, "whatever it takes is worth nothing"


def test_halves_share_no_token() -> None:
    rng = np.random.default_rng(SEED)
    x = smooth(rng, (5, 4))
    first, second = tune.halves(layer("a", "k", x, grid=(5, 4)))
    assert first.grid == (2, 4) and second.grid == (3, 4)
    assert np.array_equal(np.concatenate([first.x, second.x]), x)
    first, second = tune.halves(layer("a", "k", x, outliers=(1, 15)))
    assert (first.outliers, second.outliers) == ((1,), (5,)) and len(first.x) == 10
    assert tune.divisible(layer("a", "k", x[:2])) and not tune.divisible(layer("a", "k", x[:1]))
    assert not tune.divisible(layer("a", "k", x[:4], grid=(1, 4))) and not tune.divisible(
        layer("a", "k", x[:1], outliers=(0,)))


def test_bits_go_where_they_are_worth_most_and_no_kind_is_transformed_in_vain(trace: Path, tmp_path: Path,
                                                                             capsys: pytest.CaptureFixture[str]
                                                                             ) -> None:
    out = tmp_path / "tuned.yaml"
    assert main(["tune", str(trace), "--out", str(out), "--bits", "4.5"]) == 0
    config = NpuConfig.load(out)
    jobs = dict(config.kinds)
    assert list(jobs) == ["smooth", "noise", "grid"]
    assert jobs["smooth"].levels > 1 and jobs["grid"].levels > 1
    assert jobs["noise"].high_tokens(64) < jobs["smooth"].high_tokens(64)
    printed = capsys.readouterr().out
    assert "gain dB" in printed and "Held-out" in printed
    # As many bits as there are: everything at 8.
    assert main(["tune", str(trace), "--out", str(out), "--bits", "8"]) == 0
    assert {job.n_hi for _, job in NpuConfig.load(out).kinds} == {"1/1"}
    assert main(["tune", str(trace), "--out", str(out), "--bits", "4"]) == 0
    assert {job.n_hi for _, job in NpuConfig.load(out).kinds} == {0}


def test_the_shipped_llama_gains_on_tokens_that_were_not_seen(tmp_path: Path) -> None:
    config = NpuConfig()
    with Trace.open(TRACE) as trace:
        pairs = [tune.halves(trace.layer(name)) for name in trace.layer_names if "layers.4" in name]
    tuned = tune.tune([pair[0] for pair in pairs], [pair[1] for pair in pairs], config, None)
    gain = np.mean([best[0] - own[0] for _, _, own, best in tuned.rows])
    assert gain > 0.05
    total = sum(tuned.values)
    bits = sum(best[1] * values for (_, _, _, best), values in zip(tuned.rows, tuned.values, strict=True)) / total
    assert bits <= 4.125 + 1e-9


def test_simulate_program_and_generate_take_the_result(trace: Path, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("amaranth")
    out = tmp_path / "tuned.yaml"
    assert main(["tune", str(trace), "--out", str(out), "--bits", "4.5"]) == 0
    config = NpuConfig.load(out)
    files = {"simulate": tmp_path / "s.json", "program": tmp_path / "p.json"}
    assert main(["simulate", str(trace), "--config", str(out), "--json", str(files["simulate"]), "--schemes",
                 "a8,a4,first_n,stamp"]) == 0
    simulated = json.loads(files["simulate"].read_text())["layers"]
    assert main(["program", str(trace), "--config", str(out), "--out", str(files["program"])]) == 0
    programmed = {entry["name"]: entry for entry in json.loads(files["program"].read_text())["layers"]}
    with Trace.open(trace) as opened:
        for name in opened.layer_names:
            one = opened.layer(name)
            own = config.for_kind(one.kind)
            job = linear.resolve(one, own)
            assert simulated[name]["stamp"]["levels"] == job.levels and simulated[name]["stamp"]["n_hi"] == job.n_hi
            assert simulated[name]["first_n"]["levels"] == 0 and simulated[name]["first_n"]["n_hi"] == job.n_hi
            assert simulated[name]["a8"]["n_hi"] == job.tokens and simulated[name]["a4"]["n_hi"] == 0
            assert simulated[name]["stamp"]["sqnr_db"] == pytest.approx(linear.run_linear(one, own).sqnr_db, abs=1e-3)
            assert programmed[name]["registers"]["JOB_LEVELS"] == job.levels
            assert programmed[name]["shape"]["n_hi"] == job.n_hi
    with TraceWriter(tmp_path / "one.safetensors", {"model": "drawn"}) as writer:
        for kind, tokens in (("vector", 1), ("text", 6)):
            writer.add_input(kind, np.ones((tokens, 4), np.float32) + np.eye(tokens, 4, dtype=np.float32), "float32")
            writer.add_layer(name=kind, kind=kind, input_key=kind, weight=np.eye(4, dtype=np.float32), dtype="float32")
    capsys.readouterr()
    assert main(["tune", str(tmp_path / "one.safetensors"), "--out", str(out)]) == 0
    assert "left as they are: vector" in capsys.readouterr().out and list(dict(NpuConfig.load(out).kinds)) == ["text"]
    assert main(["tune", str(tmp_path / "one.safetensors"), "--out", str(out), "--layers", "vector"]) == 2
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump({"hw": {"rows": 2, "cols": 2, "lanes": 2, "max_k": 16, "max_tokens": 32,
                                            "act_slots": 32, "max_levels": 2},
                                     "kinds": {"smooth": {"levels": 1}}}), "utf-8")
    assert main(["generate", "--config", str(small), "--out", str(tmp_path / "verilog")]) == 0


def test_a_part_of_the_tokens_and_a_kind_are_checked_when_a_configuration_is_read() -> None:
    config = NpuConfig.from_dict({"job": {"n_hi": "1/16"}, "kinds": {"q_proj": {"levels": 2}, 7: {"n_hi": "1/3"}}})
    assert config.job.high_tokens(33) == 3
    assert config.for_kind("q_proj").job.levels == 2 and config.for_kind("q_proj").job.n_hi == "1/16"
    assert config.for_kind("7").job.high_tokens(10) == 4 and config.for_kind("other").job == config.job
    assert NpuConfig.from_dict(config.to_dict()) == config
    assert {job.n_hi for _, job in config.with_job(n_hi=0).kinds} == {0}
    for data, message in (({"job": {"n_hi": "1/0"}}, r"job\.n_hi"), ({"job": {"n_hi": "2/3"}}, r"job\.n_hi"),
                          ({"job": {"n_hi": "many"}}, r"job\.n_hi"), ({"kinds": [1]}, "kinds: not a mapping"),
                          ({"kinds": {"a": 3}}, r"kinds\.a: not a mapping"),
                          ({"kinds": {"a": {"level": 3}}}, r"kinds\.a\.level: unknown key"),
                          ({"kinds": {"a": {"levels": 9}}}, r"kinds\.a\.levels: impossible value"),
                          ({"kinds": {1: {"levels": 1}, "1": {"levels": 2}}}, r"kinds\.1: kind given twice")):
        with pytest.raises(StampError, match=message):
            NpuConfig.from_dict(data)


def test_bad_input_is_one_clear_error(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tuned.yaml"
    kinds = tmp_path / "kinds.yaml"
    kinds.write_text("kinds: {a: {levels: 1}}\n", "utf-8")
    sinks = tmp_path / "sinks.yaml"
    sinks.write_text("job: {outliers: 0}\n", "utf-8")
    for more, message in ((["--bits", "3.9"], "budget out of range"), (["--bits", "nan"], "budget out of range"),
                          (["--config", str(kinds)], "kinds are what is chosen"),
                          (["--fit", str(TRACE)], "no calibration for a kind"),
                          (["--fit", str(trace)], "fitted on what is measured"),
                          (["--config", str(sinks)], "which tokens are outliers"),
                          (["--layers", "zzz"], "no layer matches"),
                          (["--fit", str(tmp_path / "no")], "cannot read trace")):
        assert main(["tune", str(trace), "--out", str(out), *more]) == 2
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1, more
    assert main(["tune", str(trace), "--out", str(trace)]) == 2
    assert not out.exists()


def test_a_loss_too_small_to_show_is_not_minus_zero() -> None:
    before, after = -0.001, -0.004
    cells = tune_command._cells([((before, 4.0), (after, 4.0))], [1])
    assert cells == ("4.000", "4.000", "0.00", "0.00", "+0.00")
