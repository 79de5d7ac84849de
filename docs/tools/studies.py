"""Figures and Markdown tables of `models.studies`: a language model's rows, an image model's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from docs.tools.figures import whole
from models.commands.eval_table import number, with_error
from models.studies.settings import PICTURES, SETTINGS
from stamp_hw.features import paley_order

_BLOCK = 64  # channels of the Hadamard unit of the presets
_ONLINE = {"o_proj": 576, "down_proj": 1536}  # channels of the kinds whose full rotation folds into nothing before them
_TOKENS = 8192  # that a named row is measured on, at least
_PICTURE = {"picture": "picture_sqnr_db", "latent": "latent_sqnr_db", "layers": "layer_sqnr_db"}
Row = Mapping[str, Any]


def language(report: Mapping[str, Any]) -> dict[str, Any]:
    """Setting → scheme → its row with `significance`, the difference to `stamp` in standard errors, and both figures
    to the digit of their errors (`ppl_text`, `kl_text`); the tables of the rows that are named and of the others;
    `center_takes`, the part of STaMP's gain over `a4` that a static mean gives `a4`."""
    rows = [dict(row) for row in report["rows"]]
    missing = {setting.name for setting in SETTINGS} - {row["setting"] for row in rows}
    whole(not missing, f"lacks {', '.join(sorted(missing))}")
    whole(all(row["tokens"] >= _TOKENS for row in rows if row["named"]), "named rows of too few tokens")
    found: dict[str, Any] = {
        "float": report["float"]["named"], "float_other": report["float"]["other"],
        "tokens": max(row["tokens"] for row in rows), "other_tokens": min(row["tokens"] for row in rows),
        "adds": {"block": int(math.log2(_BLOCK)), **{name: additions(k) for name, k in _ONLINE.items()}},
        "named": markdown(row for row in rows if row["named"]),
        "others": markdown(row for row in rows if not row["named"])}
    for row in rows:
        if row["kl_minus_stamp"] is not None:
            row["significance"] = abs(row["kl_minus_stamp"]) / row["kl_minus_stamp_se"]
        found.setdefault(row["setting"], {})[row["scheme"]] = {
            key: value for key, value in row.items() if isinstance(value, float)} | {
                "ppl_text": with_error(row["ppl"], row["ppl_se"]), "kl_text": with_error(row["kl"], row["kl_se"])}
    plain, centred = found["w8"], found["center"]
    gain = plain["a4"]["kl"] - plain["stamp"]["kl"]
    return found | {"center_takes": (plain["a4"]["kl"] - centred["a4"]["kl"]) / gain}


def additions(channels: int) -> int:
    """Additions a channel of `stamp_hw.features.hadamard` online: a level of butterflies a factor of 2, and the rows of
    the Paley matrix as they are."""
    order = paley_order(channels) or 1
    return int(math.log2(channels // order)) + order - 1


def markdown(rows: Iterable[Row]) -> str:
    """A table, a line a row; what a row shares with the one above is left out."""
    columns: Sequence[tuple[str, Callable[[Row], str]]] = (
        ("rotation", lambda row: str(row["rotation"])), ("a scale a", lambda row: str(row["scale"])),
        ("weights", lambda row: str(row["weights"])),
        ("scheme", lambda row: f"`{row['scheme']}`" + (", centred" if row["center"] else "")),
        ("bits with scales", lambda row: number(row["average_bits_with_scales"], 2)),
        ("perplexity", lambda row: with_error(row["ppl"], row["ppl_se"])),
        ("× float", lambda row: number(row["ppl_over_float"], 3)),
        ("KL, nats a token", lambda row: with_error(row["kl"], row["kl_se"])),
        ("less STaMP's", lambda row: "–" if row["kl_minus_stamp"] is None else
         with_error(row["kl_minus_stamp"], row["kl_minus_stamp_se"], sign="+").replace("-", "−")))
    return _table(columns, rows, shared=3)


def pictures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Setting → scheme → its row, and the table of the pictures' SQNR: a line a setting; `gain_db` of `stamp` over
    `first_n` by setting."""
    missing = {setting.name for setting in PICTURES} - {row["setting"] for row in report["rows"]}
    whole(not missing, f"lacks {', '.join(sorted(missing))}")
    whole(report["inference_steps"] == 20, f"{report['inference_steps']} of 20 steps")
    found: dict[str, Any] = {"prompts": len(report["prompts"]), "steps": report["inference_steps"]}
    lines: dict[str, dict[str, Any]] = {}
    for row in report["rows"]:
        found.setdefault(row["setting"], {})[row["scheme"]] = {name: row[key] for name, key in _PICTURE.items()}
        line = lines.setdefault(row["setting"], {"rotation": row["rotation"], "scale": row["scale"]})
        line[row["scheme"]] = row["picture_sqnr_db"]
    found["gain_db"] = {name: found[name]["stamp"]["picture"] - found[name]["first_n"]["picture"] for name in lines}
    schemes = [name for name in next(iter(lines.values())) if name not in ("rotation", "scale")]
    columns = [("rotation", lambda row: str(row["rotation"])), ("a scale a", lambda row: str(row["scale"])),
               *((f"`{name}`", lambda row, name=name: f"{number(row[name], 0)} dB") for name in schemes)]
    found["table"] = _table(columns, lines.values(), shared=1)
    return found


def _table(columns: Sequence[tuple[str, Callable[[Row], str]]], rows: Iterable[Row], shared: int) -> str:
    lines = [f"| {' | '.join(name for name, _ in columns)} |", f"|{'---|' * len(columns)}"]
    above: list[str] = []
    for row in rows:
        cells = [cell(row) for _, cell in columns]
        same = 0
        while same < shared and above[same : same + 1] == cells[same : same + 1]:
            same += 1
        lines.append(f"| {' | '.join(['' if place < same else cell for place, cell in enumerate(cells)])} |")
        above = cells
    return "\n".join(lines)
