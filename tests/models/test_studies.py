"""The table that the results lead with: settings, paired differences, runs that go on (models/studies)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.studies import pixart, reports
from models.studies.rows import paired, rows_of, table
from models.studies.settings import ALL, BLOCK, FULL, NONE, SETTINGS, chosen
from models.studies.smollm2 import main
from stamp_hw.errors import StampError
from tests.support.eval_cases import LLAMA

TEXTS = ["--model", str(LLAMA), "--text", str(LLAMA / "heldout.txt"), "--calibration", str(LLAMA / "calibration.txt")]
WHAT = [*TEXTS, "--sequences", "2", "--length", "48"]


def test_every_combination_of_rotation_and_scale_is_there_and_sixteen_rows_are_named() -> None:
    named = [(setting.name, scheme) for setting in SETTINGS if setting.named for scheme in setting.schemes]
    assert len(named) == 16 and all(setting.windows * 511 >= 8192 for setting in SETTINGS if setting.named)
    assert all(setting.windows * 511 >= 1530 for setting in SETTINGS)
    whole = {(setting.rotation, setting.block) for setting in SETTINGS if set(setting.schemes) == set(ALL)
             and setting.weights == "8 bits"}
    assert whole >= {(rotation, block) for rotation in (NONE, BLOCK, FULL) for block in (None, 64)}
    assert {setting.weights for setting in SETTINGS if setting.rotation == NONE} == {
        "8 bits", "4 bits, nearest", "4 bits, GPTQ"}
    with pytest.raises(StampError, match="--only: unknown setting; got w9; expected of w8, gptq"):
        chosen("w8,w9")


def test_a_difference_is_paired_window_by_window(rng: np.random.Generator) -> None:
    base, gap = rng.normal(size=9) * 100, rng.normal(size=9)
    mean, error = paired((base + gap).tolist(), base.tolist())
    assert mean == pytest.approx(gap.mean()) and error == pytest.approx(gap.std(ddof=1) / 3)


def row(scheme: str, kl: list[float]) -> dict[str, Any]:
    return {"scheme": scheme, "perplexity": 20.0, "loss_difference_error": 0.01, "kl": float(np.mean(kl)),
            "kl_error": 0.01, "kl_by_window": kl, "average_bits": 4.0, "average_bits_with_scales": 4.3}


def test_rows_stand_against_stamp_of_their_own_setting_or_of_the_one_beside() -> None:
    found = {name: {"tokens": 1022, "rows": [row("float", [0, 0]), *rows]} for name, rows in (
        ("w8", [row("a4", [0.3, 0.5]), row("stamp", [0.1, 0.2])]), ("equal_bits", [row("a4", [0.2, 0.2])]))}
    rows = {(one["setting"], one["scheme"]): one for one in rows_of(found)}
    assert rows["w8", "a4"]["kl_minus_stamp"] == pytest.approx(0.25)
    assert rows["w8", "a4"]["kl_minus_stamp_se"] == pytest.approx(0.05)
    assert rows["w8", "stamp"]["kl_minus_stamp"] is None
    assert rows["equal_bits", "a4"]["kl_minus_stamp"] == pytest.approx(0.05)
    assert rows["equal_bits", "a4"]["scale"] == "block of 48" and len(rows) == 3
    assert "+0.25 ± 0.05" in table(rows_of(found), 200) and "1,022" in table(rows_of(found), 200)


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_settings_run_once_and_again_where_what_they_are_told_has_changed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []
    real = reports.stamp_hw
    monkeypatch.setattr(reports, "stamp_hw", lambda words: (asked.append(list(words)), real(words))[1])
    run = [*WHAT, "--folder", str(tmp_path), "--json", str(tmp_path / "all.json"), "--only", "equal_bits,none_block"]
    assert main(run) == 0
    first = capsys.readouterr().out
    assert [name in first for name in ("block of 48", "block of 64", "Hadamard", "GPTQ")] == [True, True, True, False]
    assert len(asked) == 2 and not (tmp_path / "all.json").exists(), "of some settings there is no table of all"
    assert main(run) == 0 and len(asked) == 2 and capsys.readouterr().out == first
    other = [str(LLAMA / "calibration.txt") if word == str(LLAMA / "heldout.txt") else
             str(LLAMA / "heldout.txt") if word == str(LLAMA / "calibration.txt") else word for word in run]
    assert main(other) == 0 and len(asked) == 4, "other texts"
    report = json.loads((tmp_path / "none_block.json").read_text("utf-8"))
    stamp = report["rows"][-1]
    assert stamp["scheme"] == "stamp" and len(stamp["kl_by_window"]) == len(stamp["loss_by_window"]) == 2
    assert math.isclose(float(np.mean(stamp["kl_by_window"])), stamp["kl"])
    assert stamp["average_bits_with_scales"] > stamp["average_bits"] + 21 / 64


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
@pytest.mark.long
def test_all_settings_of_a_small_model_give_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.json"
    assert main([*TEXTS, "--sequences", "2", "--length", "32", "--folder", str(tmp_path), "--json", str(out)]) == 0
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert {one["setting"] for one in rows} == {setting.name for setting in SETTINGS}
    assert set(rows[0]) >= {"rotation", "scale", "weights", "scheme", "center", "ppl", "kl", "kl_se", "kl_minus_stamp",
                            "kl_minus_stamp_se", "average_bits_with_scales", "tokens"}
    assert len(capsys.readouterr().out.splitlines()) > len(rows)


@pytest.mark.trace
def test_a_setting_that_cannot_run_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    from models.load.checkpoint import run_command

    words = ["--model", str(tmp_path / "none"), "--folder", str(tmp_path), "--only", "w8"]
    for more, message in (((), "none"), (("--sequences", "1"), "--sequences: one window has no standard error; got 1")):
        assert run_command(lambda more=more: main([*words, *more])) == 2
        said = capsys.readouterr().err + caplog.text
        assert "Traceback" not in said and message in said


@pytest.mark.trace
@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
def test_the_small_pixart_gets_the_same_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pixart.json"
    assert pixart.main(["--inference-steps", "1", "--folder", str(tmp_path), "--json", str(out)]) == 0
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert [(one["rotation"], one["scale"], one["scheme"]) for one in rows] == [
        (rotation, scale, scheme) for rotation in (NONE, BLOCK, FULL) for scale in ("token", "block of 64")
        for scheme in ("weights", *ALL)]
    assert all(math.isfinite(one["picture_sqnr_db"]) for one in rows)
    assert len(capsys.readouterr().out.splitlines()) >= len(rows) + 2


@pytest.mark.trace
def test_a_study_leaves_other_files_alone(tmp_path: Path) -> None:
    prompts, report = tmp_path / "prompts.txt", tmp_path / "w8.json"
    prompts.write_text("my own\n", "utf-8")
    report.write_text("mine", "utf-8")
    with pytest.raises(StampError, match=r"prompts\.txt: another file in the way"):
        pixart.main(["--folder", str(tmp_path), "--json", str(tmp_path / "pixart.json")])
    with pytest.raises(StampError, match="an evaluation failed"):
        main([*WHAT, "--text", str(tmp_path.parent / "none"), "--folder", str(tmp_path), "--only", "w8"])
    with pytest.raises(StampError, match="output in the way of another file"):
        pixart.main(["--folder", str(tmp_path), "--json", str(LLAMA.parent / "pixart_small" / "model_index.json")])
    assert prompts.read_text("utf-8") == "my own\n" and report.read_text("utf-8") == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prompts.txt", "w8.json"]


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("left", ["{", "[]", ""])
def test_a_report_that_is_cut_off_is_made_again(tmp_path: Path, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = [*WHAT, "--folder", str(tmp_path), "--only", "none_block"]
    assert main(run) == 0
    whole = json.loads((tmp_path / "none_block.json").read_text("utf-8"))["rows"]
    for name in ("none_block.json", "none_block.asked.json"):
        (tmp_path / name).write_text(left, "utf-8")
        assert main(run) == 0
        assert json.loads((tmp_path / "none_block.json").read_text("utf-8"))["rows"] == whole
