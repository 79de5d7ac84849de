"""What is warned of: each layer's own in the JSON report, a line a kind of warning on the terminal, the worst named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sim.mapping.precision import Precision

#: Saturated values below this part of all are counted in every report, and not warned of.
NEGLIGIBLE = 1e-4
#: An input beyond so many times the largest code is warned of all the same: one lost outlier can cost a layer dearly.
FAR_BEYOND = 2.0

#: Of all array tiles at least this part must be saved by at most that part of all tokens at 4 bits in place of 8; else
#: it is the price of their bits.
WORTH_TELLING, FEW_TOKENS = 1 / 8, 1 / 16

#: Kinds of warnings and what a line of several layers says of them.
KINDS = {
    "headroom": "leave the 8-bit tokens too few codes", "x_saturated": "saturate inputs (x)",
    "h_saturated": "saturate values in the Hadamard unit (h)", "z_saturated": "saturate output coefficients (z)",
    "y_saturated": "saturate outputs (y)",
    "rows": "take further array tiles for a few 8-bit tokens",
    "levels": "have fewer levels than their 8-bit tokens need", "n_hi": "have fewer tokens than n_hi",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning: its `kind`, one of KINDS; its `severity` in 0…1, which orders warnings; its `text`.

    The severity is the part of the values that saturates, of the least headroom or of n_hi that is missing, of the
    array tiles that could be saved; 0 for what is legal and merely odd.
    """

    kind: str
    severity: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def of_job(warnings: Sequence[tuple[str, float, str]]) -> tuple[Notice, ...]:
    """The warnings of a resolved job."""
    return tuple(Notice(kind=kind, severity=severity, text=text) for kind, severity, text in warnings)


def headroom(code: float, limit: float, top: int) -> Notice | None:
    """Of the median token's absmax, `code` of `top`, below `limit`; None from there on."""
    if code >= limit:
        return None
    return Notice(kind="headroom", severity=1 - code / limit, text=f"median token's absmax uses {code:.0f} of {top}: "
                  f"below {limit:.0f} the 8-bit tokens lose accuracy")


def saturated(kind: str, what: str, count: int, total: int, beyond: float = 1.0) -> Notice | None:
    """Of `count` saturated values of `total`, the largest `beyond` times the largest code; None for next to nothing."""
    if not count or count < NEGLIGIBLE * total and beyond <= FAR_BEYOND:
        return None
    far = f", up to {beyond:.3g} times the largest code" if beyond > FAR_BEYOND else ""
    return Notice(kind=kind, severity=count / total,
                  text=f"{count} of {total} {what} saturate ({count / total * 100:.2g} %{far})")


def rows(precision: Precision, tokens: int) -> Notice | None:
    """Of array tiles that a few 8-bit tokens of all `tokens` take beyond what the others need; None for next to none.
    """
    if precision.fewer is None or precision.fewer_tiles is None:
        return None
    saved = 1 - precision.fewer_tiles / precision.array_tiles
    if saved < WORTH_TELLING or precision.n_hi - precision.fewer > FEW_TOKENS * tokens:
        return None
    return Notice(kind="rows", severity=saved, text=f"n_hi = {precision.n_hi} takes {precision.array_tiles} array "
                  f"tiles a column tile, {precision.fewer} would take {precision.fewer_tiles}")


def lines(layers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """A line a kind of warning, the worst first: in how many layers, and the worst one's figure under its scheme.

    `layers`: label → scheme → figures of a report.
    """
    found: dict[str, list[tuple[float, str, str, str]]] = {}
    for label, schemes in layers.items():
        for scheme, figures in schemes.items():
            for notice in figures["warnings"]:
                found.setdefault(notice["kind"], []).append((notice["severity"], label, scheme, notice["text"]))
    said = []
    for kind, entries in sorted(found.items(), key=lambda item: -max(entry[0] for entry in item[1])):
        _, label, scheme, text = max(entries, key=lambda entry: entry[0])
        count = len({entry[1] for entry in entries})
        many = f"{count} layers {KINDS[kind]}, the worst " if count > 1 else ""
        said.append(f"* {many}{label} ({scheme}): {text}")
    return said
