"""Tables of the studies on the pages (docs/tools/studies.py)."""

from __future__ import annotations

from typing import Any

import pytest

from docs.tools import figures, studies
from models.studies.settings import ALL, PICTURES, SETTINGS


def language() -> dict[str, Any]:
    """A report as `models.studies.smollm2` writes it."""
    rows = [{"setting": setting.name, "named": setting.named, "rotation": setting.rotation, "scale": setting.scale,
             "weights": setting.weights, "center": setting.center, "scheme": scheme, "ppl": 28.123, "ppl_se": 0.2,
             "ppl_over_float": 1.117, "kl": 0.1013 if scheme == "stamp" else 0.1525 - 0.02 * setting.center,
             "kl_se": 0.002,
             "kl_minus_stamp": None if scheme == "stamp" else -0.0512, "kl_minus_stamp_se": 0.004,
             "average_bits": 4.0, "average_bits_with_scales": 4.35, "tokens": 8687 if setting.named else 1533}
            for setting in SETTINGS for scheme in setting.schemes]
    return {"rows": rows, "float": {"named": 25.17, "other": 24.5}}


def test_a_row_says_once_what_it_shares_with_the_one_above() -> None:
    found = studies.language(language())
    lines = found["named"].splitlines()
    assert len(lines) == 2 + 16
    assert lines[2] == ("| block Hadamard | block of 64 | 8 bits | `a8` | 4.35 | 28.1 ± 0.2 | 1.117 | 0.152 ± 0.002 | "
                        "−0.051 ± 0.004 |")
    assert lines[5] == "|  |  |  | `stamp` | 4.35 | 28.1 ± 0.2 | 1.117 | 0.101 ± 0.002 | – |"
    assert sum("centred" in line for line in lines) == 2
    assert found["w8"]["a4"]["significance"] == pytest.approx(12.8) and "significance" not in found["w8"]["stamp"]
    assert found["w8"]["a4"]["ppl_text"] == "28.1 ± 0.2" and found["w8"]["a4"]["kl_text"] == "0.152 ± 0.002"
    assert found["center_takes"] == pytest.approx(0.02 / (0.1525 - 0.1013))
    assert (found["tokens"], found["other_tokens"]) == (8687, 1533)


def test_additions_of_rotations_online() -> None:
    """576 = 16 · 36 with Paley's matrix of order 36; 1536 = 128 · 12; 64 is Sylvester's."""
    assert [studies.additions(k) for k in (64, 576, 1536)] == [6, 4 + 35, 7 + 11]


@pytest.mark.parametrize(("change", "why"), [
    (lambda rows: rows[:-1 * len(SETTINGS[-1].schemes)], f"lacks {SETTINGS[-1].name}"),
    (lambda rows: [{**row, "tokens": 1533} for row in rows], "named rows of too few tokens")])
def test_a_study_that_is_not_whole_is_not_taken(change: Any, why: str) -> None:
    report = language()
    with pytest.raises(figures.NotTakenError, match=why):
        studies.language({**report, "rows": change(report["rows"])})


def test_pictures_have_a_line_a_setting() -> None:
    rows = [{"setting": setting.name, "rotation": setting.rotation, "scale": setting.scale, "scheme": scheme,
             "picture_sqnr_db": 20.4, "latent_sqnr_db": 15.0, "layer_sqnr_db": 25.0}
            for setting in PICTURES for scheme in ("weights", *ALL)]
    report = {"rows": rows, "inference_steps": 20, "prompts": ["a", "b"]}
    found = studies.pictures(report)
    lines = found["table"].splitlines()
    assert len(lines) == 2 + len(PICTURES) and lines[2].startswith("| none | token | 20 dB | 20 dB")
    assert lines[3].startswith("|  | block of 64 |") and found["block_block"]["stamp"]["picture"] == 20.4
    assert found["gain_db"]["full_token"] == 0
    with pytest.raises(figures.NotTakenError, match="1 of 20 steps"):
        studies.pictures({**report, "inference_steps": 1})
