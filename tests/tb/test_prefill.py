"""`stamp-hw verify --model`: every layer of a small Llama through the RTL of a small engine, and what goes wrong."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from tb.commands import prefill
from tb.faults.hadamard import FAULTS
from tb.prefill import pieces
from tb.prefill.host import Host
from tb.prefill.results import by_layer, good, read, wall_seconds
from tb.prefill.run import go_on, start
from tests.support.prefill_cases import HIDDEN, INNER, NAMES, TOKENS, VOCABULARY, make, words

pytestmark = [pytest.mark.trace, pytest.mark.rtl, pytest.mark.long, pytest.mark.xdist_group("prefill")]

MOST = 128  # output channels of a job here: the vocabulary's layer is three of them
MLP = [name for name in NAMES if ".1.mlp." in name]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def whole(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of a run of everything, which printed `out.txt`."""
    root = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(pieces, "MOST", MOST)
        code = main(command(llama, root))
    (root / "out.txt").write_text(out.getvalue(), "utf-8")
    assert code == 0, out.getvalue()
    return root


@pytest.fixture
def again(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder of one's own that holds the same."""
    monkeypatch.setattr(pieces, "MOST", MOST)
    shutil.copytree(whole / "tiny-rtl", tmp_path / "tiny-rtl")
    (tmp_path / "rtl").symlink_to(whole / "rtl")
    return tmp_path


def command(llama: Path, root: Path, *more: str) -> list[str]:
    return ["verify", *words(llama, *more), "--build-dir", str(root)]


def layers(root: Path) -> Path:
    return root / "tiny-rtl" / str(TOKENS)


def document(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "tiny-rtl.json").read_text("utf-8"))
    return found


def keys(root: Path) -> list[str]:
    """Of the jobs that were played, in the order in which they ended."""
    return [line["key"] for line in read(layers(root) / "results.jsonl")]


# --- all of it -------------------------------------------------------------------------------------------------------

def test_every_word_of_every_layer_is_compared(whole: Path) -> None:
    found, index = document(whole), json.loads((layers(whole) / "prefill.json").read_text("utf-8"))
    products = TOKENS * (2 * (3 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER) + HIDDEN * VOCABULARY)
    sent = {row["name"]: (TOKENS + len(row["outliers"])) * row["n"] for row in index["layers"]}
    assert list(sent) == NAMES == [row["layer"] for row in found["per_layer"]]
    assert (found["layers"], found["model_layers"], found["jobs"]) == (15, 15, 14 + math.ceil(VOCABULARY / MOST))
    assert found["products"] == products and found["words"] == sum(sent.values())
    assert [row["words"] for row in found["per_layer"]] == list(sent.values())
    assert not any(found[name] for name in ("mismatches", "cycle_differences", "event_differences", "failures"))
    assert found["cycles"] == sum(line["predicted_cycles"] for line in read(layers(whole) / "results.jsonl")) > 50_000
    assert found["timed_beats"] > found["words"] and 0 < found["rtl_cpu_s"] < found["cpu_s"] <= found["job_s"] * 1.1
    assert found["wall_s"] >= max(row["seconds"] for row in found["per_layer"])


def test_the_first_block_is_chained_by_the_words_of_the_rtl(whole: Path) -> None:
    found = document(whole)["chained"]
    rows = document(whole)["per_layer"][:7]
    assert (found["layers"], found["inputs"], found["equal_inputs"], found["failures"]) == (7, 8, 8, [])
    for name in ("products", "words", "cycles", "timed_beats", "mismatches", "cycle_differences"):
        assert found[name] == sum(row[name] for row in rows), name


def test_a_line_of_progress_comes_with_every_job(whole: Path) -> None:
    lines = (whole / "out.txt").read_text("utf-8").splitlines()
    ends = [line.rpartition("; ")[2] for line in lines if " of 17, " in line]
    assert [end.split(",")[0] for end in ends] == [f"{number} of 17" for number in range(1, 18)]
    assert ends[-1] == "17 of 17, 0 s left" and sum(line.startswith("lm_head 128…255: ") for line in lines) == 1
    assert lines[-1].startswith("15 of 15 layers, ") and ", 0 differ; " in lines[-1]


# --- going on --------------------------------------------------------------------------------------------------------

def test_a_second_start_plays_nothing_again(again: Path, llama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (layers(again) / "results.jsonl").read_bytes()
    assert main(command(llama, again)) == 0
    assert "17 of 17 jobs are done already\n" in capsys.readouterr().out
    assert (layers(again) / "results.jsonl").read_bytes() == before and document(again)["words"] > 0


def test_an_interrupted_run_goes_on_behind_the_jobs_that_ended(again: Path, llama: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    file, first = layers(again) / "results.jsonl", MLP[0]
    file.unlink()
    chosen = ("--layers", r"layers\.1\.mlp", "--jobs", "1")

    def stop(line: str) -> None:
        if line.startswith(first):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prefill, "say", stop)
        assert main(command(llama, again, *chosen)) == 130
    assert not list(layers(again).glob("queue.*")) and document(again)["layers"] >= 1
    kept = read(file)[0]
    file.write_text(json.dumps(kept) + "\n" + json.dumps(kept)[:-20], "utf-8")  # a line that was cut off
    assert main(command(llama, again, *chosen)) == 0
    found = read(file)
    assert found[0] == kept and sorted(line["layer"] for line in found) == sorted(MLP)
    assert document(again)["layers"] == 3 and document(again)["chained"] is None


# --- what is found ---------------------------------------------------------------------------------------------------

def test_a_wrong_word_is_found_in_its_layer_and_no_other(again: Path, llama: Path, rng: np.random.Generator,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    path, before = layers(again) / f"{MLP[1]}.npy", keys(again)
    right = np.load(path)
    wrong = right.copy()
    token, channel = (int(rng.integers(size)) for size in right.shape)
    wrong[token, channel] ^= 1 << int(rng.integers(15))
    np.save(path, wrong)
    assert main(command(llama, again, "--layers", r"layers\.1\.mlp")) == 1
    out, found = capsys.readouterr().out, document(again)
    assert len(keys(again)) == len(before) + 1, "no other layer was played"
    assert [row["layer"] for row in found["per_layer"] if row["failures"]] == [MLP[1]]
    assert f"\n{MLP[1]}: job " in out and f"got {right[token, channel]}, expected {wrong[token, channel]}" in out
    np.save(path, right)
    assert main(command(llama, again, "--layers", r"layers\.1\.mlp")) == 0


def test_a_mistake_in_the_rtl_is_found(again: Path, llama: Path) -> None:
    """Weights are folded with the signs that the unit then does not know."""
    (fault,) = (one for one in FAULTS if one.name == "no_signs")
    host = Host(model=str(llama), tokens=TOKENS, config=NpuConfig.load(llama / "hw.yaml"), text=llama / "text.txt",
                calibration=llama / "calibration.txt", sequences=2)
    found, engine = start(host, layers(again), again, r"\.q_proj", print, fault)
    go_on(found, engine, layers(again), 1, print)
    assert [line.partition(":")[0] for line in found.failures] == [name for name in NAMES if "q_proj" in name]


def test_sums_know_what_is_wrong() -> None:
    line = {"layer": "a", "kind": "q_proj", "tokens": 2, "k": 3, "channels": 4, "words": 8, "failure": "", "began": 1.0,
            "ended": 3.0, "cpu_s": 1.5, "rtl_cpu_s": 1.0, **dict.fromkeys((
                "products", "mismatches", "timed_beats", "cycles", "cycle_differences", "event_differences"), 0)}
    assert good(line)
    for name, value in (("words", 0), ("mismatches", 1), ("cycle_differences", 1), ("event_differences", 1),
                        ("failure", "hang")):
        assert not good(line | {name: value})
    (row,) = by_layer([line, line | {"failure": "hang"}])
    assert (row["n"], row["jobs"], row["words"], row["seconds"], row["failures"]) == (8, 2, 16, 4.0, ["hang"])
    assert wall_seconds([(0, 2), (1, 3), (1.5, 2), (10, 11)]) == 4


# --- what is refused -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("change", "message"), [
    (("--model", "/nowhere"), "/nowhere: no such folder"),  # by the host, as all that test_prefill of the models has
    (("--tokens", "33"), "--tokens: too many tokens for the hardware; got 33; expected at most hw.max_tokens = 32"),
    (("--config", "/nowhere.yaml"), "/nowhere.yaml")])
def test_bad_input_is_one_line_and_leaves_nothing(llama: Path, tmp_path: Path, change: tuple[str, str], message: str,
                                                  capfd: pytest.CaptureFixture[str]) -> None:
    assert main(command(llama, tmp_path, *change)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("stamp-hw: ") and message in line
    assert not list(tmp_path.iterdir())


def test_words_that_are_none_are_refused(again: Path, llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(layers(again) / f"{MLP[1]}.npy", np.zeros((3, 2), np.int16))
    assert main(command(llama, again, "--layers", "lm_head|up_proj")) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"{MLP[1]}.npy: not the words of the layer; got int16[3, 2]; expected int16[" in line


@pytest.mark.smollm2
def test_a_layer_of_the_real_model_through_the_language_preset(tmp_path: Path) -> None:
    folder = prefill.PRESET.parents[1] / "build"
    if not (folder / "smollm2").is_dir():
        pytest.skip("`make smollm2` makes it")
    assert main(["verify", "--model", "smollm2", "--tokens", "40", "--layers", r"layers\.0\.self_attn\.q_proj",
                 "--build-dir", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "smollm2-rtl.json").read_text("utf-8"))["per_layer"]
    assert row["words"] >= 40 * 576 and row["cycles"] > 10_000
