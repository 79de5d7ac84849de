"""The study of forms of a block's scale: its float forms against the golden model and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sim.studies import block_scales
from sim.studies.block_scales import FORMS, by_factor, exact, with_zero
from stamp_hw import scale
from stamp_hw.config import NpuConfig

TRACE = Path(__file__).parents[2] / "models" / "traces" / "llama_small.safetensors"


def test_the_integer_zero_in_float_is_the_golden_models(rng: np.random.Generator) -> None:
    """Up to the reciprocal's own rounding, which may move a code that stands between two."""
    c, bits = rng.integers(-30000, 30000, (40, 96)), rng.choice([4, 8], 40)
    config = NpuConfig().with_hw(lanes=8, block=32).with_job(group=32)
    golden = scale.quantize(c, bits, config)
    found = with_zero(c.reshape(40, 3, 32).astype(float), scale.code_range(bits, False)[:, None, None]).reshape(40, 96)
    step = np.repeat(golden.span / golden.qmax[:, None], 32, axis=1)
    apart = np.abs(found - scale.dequantize(golden)) / step
    assert (apart > 0.01).mean() < 0.01 and apart.max() < 1.01


def test_forms_of_a_block_by_hand() -> None:
    """Two blocks of a 4-bit token: −1…14 has steps of 1; 10…25 needs 0 in its range where there is an integer zero."""
    blocks, qmax = np.array([[[-1.0, 14.0, 3.4], [10.0, 25.0, 11.0]]]), np.array([[[15]]])
    assert exact(blocks, qmax).tolist() == [[[-1, 14, 3], [10, 25, 11]]]
    assert with_zero(blocks, qmax)[0, 0].tolist() == [-1, 14, 3]
    assert np.allclose(with_zero(blocks, qmax)[0, 1], [10, 25, 7 * 25 / 15])
    # The largest span is the second block's, 25; the first one's factor is 63 · 15 / 25 = 37.8, rounded up.
    step = 25 * 38 / 63 / 15
    assert np.allclose(by_factor(blocks, qmax)[0, 0], [-step, 14 * step, 3 * step])
    assert np.allclose(by_factor(blocks, qmax)[0, 1], with_zero(blocks, qmax)[0, 1])
    zeros = np.zeros((1, 2, 3))
    assert all((form.quantize(zeros, qmax) == 0).all() for form in FORMS.values())
    assert FORMS["zero"].bits(9, 17) == 9 * 21 and FORMS["factor"].bits(9, 17) == 17 + 90


def test_the_study_of_the_shipped_trace(tmp_path: Path) -> None:
    assert block_scales.main([str(TRACE), "--json", str(tmp_path / "r.json")]) == 0
    rows = {(row["form"], row["size"]): row for row in json.loads((tmp_path / "r.json").read_text())["rows"]}
    assert len(rows) == 10
    for size in (32, 64, 128):
        assert rows["zero", size]["sqnr_db"] > rows["token", None]["sqnr_db"] + 1
        assert abs(rows["factor", size]["sqnr_db"] - rows["zero", size]["sqnr_db"]) < 0.2
    assert block_scales.main([str(tmp_path / "none")]) == 2
