"""The table of `stamp-hw eval` prints digits that hold under other float kernels; the JSON has them all."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.commands.eval_table import about, render, with_error
from stamp_hw.config import NpuConfig

ROOT = Path(__file__).resolve().parents[2]
LLAMA = ROOT / "models" / "llama_small"


@pytest.mark.parametrize(("value", "error", "shown"), [
    (0.12994, 0.0019, "0.130 ± 0.002"), (0.2108, 0.0096, "0.21 ± 0.01"), (62.107, 0.24, "62.1 ± 0.2"),
    (5012.3, 312.0, "5000 ± 300"), (45.97398, 0.93, "46.0 ± 0.9"), (45.97398, 0.96, "46 ± 1"),
    (0.00963, 0.00021, "0.0096 ± 0.0002"), (3e-7, 4e-6, "0.0000 ± 0.0000"), (0.0, 0.0, "0"),
    (0.12994, math.nan, "0.13"), (48.67, math.nan, "49"), (48670.0, math.inf, "49000"), (math.inf, math.nan, "∞"),
])
def test_a_figure_ends_where_its_standard_error_begins(value: float, error: float, shown: str) -> None:
    assert with_error(value, error) == shown
    if math.isfinite(value) and error:
        assert (with_error(-value, error, "+"), with_error(value, error, "+")) == (f"-{shown}", f"+{shown}")


def test_counts_that_move_by_a_third_have_one_digit() -> None:
    assert [about(count) for count in (0, 7, 37, 35, 251, 282, 159435)] == [
        "0", "7", "~40", "~40", "~300", "~300", "~200,000"]


def _document(rows: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return {"kind": kind, "rows": rows, "tokens": 2044, "text": "t", "windows": 4, "length": 512, "outliers": "off",
            "decode": 0, "quantized": "layers", "weights": "4 bits", "rotation": "none", "calibration": "self",
            "prompts": ["a", "b"], "inference_steps": 20, "grid": [16, 16], "seed": 0, "guidance": 3.0,
            "config": NpuConfig().to_dict()}


#: 2,044 tokens of the small Llama and two prompts of the small PixArt, `stamp` at 4-bit weights, under the vector
#: extensions of one processor (AVX-512, AVX2, SSE4): what the digits of a row are worth.
TEXT = [{"perplexity": p, "loss_difference": d, "loss_difference_error": e, "kl": k, "kl_error": f, "layer_sqnr_db": s,
         "worst_sqnr_db": w} for p, d, e, k, f, s, w in (
    (45.97398, 0.0744469, 0.0201551, 0.1286427, 0.0029300, 20.3121872, 12.5049354),
    (46.6849119, 0.0897924, 0.0194045, 0.1295358, 0.0031594, 20.3126605, 12.5223560),
    (45.9260522, 0.0734039, 0.0210095, 0.1304714, 0.0020513, 20.3095497, 12.5142793))]
IMAGES = [{"latent_sqnr_db": a, "picture_sqnr_db": b, "picture_psnr_db": c, "layer_sqnr_db": d, "worst_sqnr_db": e}
          for a, b, c, d, e in ((8.3813320, 11.8165713, 17.8144098, 22.6163006, 10.5143858),
                                (7.9136962, 11.3384462, 17.3362857, 22.6203236, 10.5143858),
                                (7.6263435, 11.1655548, 17.1633954, 22.6007143, 10.5143875))]


@pytest.mark.parametrize(("kind", "rows"), [("text", TEXT), ("images", IMAGES)])
def test_the_last_digit_printed_moves_no_further_than_the_error_says(kind: str, rows: list[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        whole = {"scheme": "stamp", "average_bits": 4.125, "worst_layer": "-", "x_saturated": 52, "y_saturated": 364}
        line = render(_document([whole | row], kind)).splitlines()[2]
        cells.append([cell for cell in line.replace(" ± ", "±").split() if cell[0] in "+0123456789"])
    figures = list(zip(*cells, strict=True))[1:]
    assert len(figures) == 5
    for several in figures:
        values = [float(cell.partition("±")[0]) for cell in several]
        error = max((float(cell.partition("±")[2]) for cell in several if "±" in cell), default=0.0)
        last = 10.0 ** -max(len(cell.partition("±")[0].partition(".")[2]) for cell in several)
        assert max(values) - min(values) <= max(error, last) + 1e-9, several


@pytest.mark.trace
def test_all_digits_are_in_the_json_and_the_table_holds_on_other_kernels(tmp_path: Path) -> None:
    """The same run without vector extensions: figures of the same size, whose last digits are others."""
    pytest.importorskip("torch")
    plain = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
    found = []
    for number, more in enumerate(({}, plain)):
        out = tmp_path / f"{number}.json"
        done = subprocess.run(
            [sys.executable, "-m", "stamp_hw", "eval", "--model", str(LLAMA), "--text",
             str(LLAMA / "heldout.txt"), "--sequences", "2", "--length", "64", "--schemes", "stamp", "--json",
             str(out)],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **more}, capture_output=True, text=True, check=True)
        row = next(row for row in json.loads(out.read_text("utf-8"))["rows"] if row["scheme"] == "stamp")
        line = next(line for line in done.stdout.splitlines() if line.startswith("stamp "))
        assert with_error(row["kl"], row["kl_error"]) in line and "Digits: the last one moves" in done.stdout
        assert len(repr(row["kl"])) > 12, "a whole float"
        found.append(row)
    assert found[1]["kl"] == pytest.approx(found[0]["kl"], rel=0.5)
