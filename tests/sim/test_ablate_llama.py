"""`stamp-hw ablate` on the trace that ships, fitted as `make ablate` does it: what docs/ablate.md says of it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from docs.tools.ablation import ablation
from docs.tools.results import records
from stamp_hw.cli.main import main
from tests.support.ablate_cases import fits, row, run

ROOT = Path(__file__).resolve().parents[2]
TRACE = ROOT / "models" / "traces" / "llama_small.safetensors"
FOLDER = ROOT / "models" / "llama_small"
pytestmark = [pytest.mark.trace, pytest.mark.long, pytest.mark.xdist_group("ablate"),
              pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> tuple[str, dict[str, Any]]:
    """(text, report) of the command that `make ablate` runs."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    documents = [text for text in (FOLDER / "calibration.txt").read_text(encoding="utf-8").split("\f") if text.strip()]
    layers = re.search(r"--layers '(\^model\S+?)\$\$'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert layers and len(documents) == 8
    traces = []
    for number, text in enumerate(documents, 1):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
        traces.append(folder / f"{number}.safetensors")
        assert main(["trace", "dump", "--model", str(FOLDER), "--text", str(folder / f"{number}.txt"),
                     "--length", "512", "--layers", f"{layers[1]}$", "--out", str(traces[-1])]) == 0
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda text: printed.append(text))
        assert run(TRACE, *fits(traces), "--json", folder / "report.json") == 0
    return printed[0], json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_integer_engine_loses_at_most_a_twentieth_of_a_decibel_on_every_layer(
        measured: tuple[str, dict[str, Any]]) -> None:
    text, report = measured
    assert len(report["layers"]) == 15 and report["fit_sequences"] == 8
    compared = [r for r in report["rows"] if r["transform"] in ("identity", "haar")]
    assert len(compared) == 3 * 2 * 8
    for r in compared:
        for name, f in r["layers"].items():
            assert f["engine_sqnr_db"] >= f["sqnr_db"] - 0.05, (name, r["label"])
            assert f["engine_output_sqnr_db"] >= f["output_sqnr_db"] - 0.05, (name, r["label"])
        assert r["engine_minus_float"]["sqnr"]["layer"] in report["layers"]
    assert re.search(r"Engine against float, worst of all rows and layers: [+-]0\.\d{3} dB of the \w+ in \S+ \(", text)


def test_theorem_1_holds_on_every_row_and_layer(measured: tuple[str, dict[str, Any]]) -> None:
    for r in measured[1]["rows"]:
        for f in r["layers"].values():
            assert 0 < f["noise_over_bound"] <= 1
            assert f["bound_sqnr_db"] <= min(f["sqnr_db"], f["engine_sqnr_db"] or math.inf)


def test_what_the_page_says_of_the_rows_holds(measured: tuple[str, dict[str, Any]]) -> None:
    report = measured[1]

    def gains(transform: str, **keys: Any) -> dict[str, float]:
        return {name: row(report, transform, name, **keys)["gain_db"] for name in ("none", "hadamard", "smooth")}

    haar, shuffled, dct, klt = gains("haar", levels=5), gains("haar", shuffled=True), gains("dct"), gains("klt")
    for feature in haar:
        assert haar[feature] > shuffled[feature] > 0.5 * haar[feature], "most of the gain survives the shuffle"
        assert klt[feature] < dct[feature], "eight sequences are too few for a KLT of 512 tokens"
        beyond = row(report, "haar", feature, levels=6)["gain_db"]
        assert abs(beyond - haar[feature]) < 0.02, "levels beyond log2(S / n_hi) change nothing"
    assert dct["none"] > haar["none"] + 0.5 and abs(dct["hadamard"] - haar["hadamard"]) < 0.05
    at_4_bits = gains("dct", high=False)
    assert at_4_bits["none"] > 0.9 and at_4_bits["hadamard"] < 0, "range, not energy: a Hadamard has taken it already"


def test_the_record_holds_what_the_command_says(measured: tuple[str, dict[str, Any]]) -> None:
    """Within two hundredths of a decibel, which another machine's sums may move.

    Eight sequences leave most directions of a KLT of 512 tokens to those sums: its rows may move a tenth of a decibel.
    """
    fresh, recorded = ablation(measured[1]), records()["ablate_llama"]["figures"]
    compared = 0
    for feature in ("none", "hadamard", "smooth"):
        for bits, rows in recorded[feature].items():
            assert set(rows) == set(fresh[feature][bits])
            for name in set(rows) - {"gains"}:
                for key, value in rows[name].items():
                    assert fresh[feature][bits][name][key] == pytest.approx(value, abs=0.1 if name == "klt" else 0.02)
                    compared += 1
    assert compared > 300
