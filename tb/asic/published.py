"""Silicon of others, as its authors state it: other nodes and corners, placed or made, so for a look and no race."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """`tops_w` and `tops_mm2` as stated, or as they follow from what is stated (`derived` says how); `stage` is what
    was measured; `source` where it is read."""

    name: str
    node: str
    precision: str
    mhz: float | None
    tops_w: float
    tops_mm2: float
    memories: str
    stage: str
    derived: str
    source: str


_MM2, _GMACS, _MW = 2.262, 6.571, 538.295  # cell area, rate and power of the second entry, of 1024 × 768 × 768
_PEAK_GMACS = 16 * 16 * 0.2  # at 200 MHz

PUBLISHED = (
    Published(
        name="Voltra", node="16 nm", precision="INT8", mhz=None, tops_w=1.60, tops_mm2=1.25, memories="with",
        stage="chip, measured; peak of the system", derived="both as stated",
        source="X. Yi et al., A 16 nm 1.60TOPS/W High Utilization DNN Accelerator, arXiv 2602.11357 (2026), abstract"),
    Published(
        name="16 × 16 systolic array", node="SKY130 (130 nm)", precision="INT8", mhz=200.0,
        tops_w=2 * _GMACS / _MW, tops_mm2=2 * _GMACS / 1000 / _MM2, memories="with",
        stage="routed, power estimated",
        derived=f"{_MW / _GMACS:.0f} pJ a MAC, of {_MW:g} mW at {_GMACS:g} GMAC/s, {_GMACS / _PEAK_GMACS:.0%} of its "
                f"peak, and {_MM2:g} mm² of cells, scratchpads among them",
        source="github.com/rambodt/Sparse-Systolic-Array-ML-Accelerator, README at 04f668e (2026)"),
)
