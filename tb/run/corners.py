"""Legal hardware at the corners of what `HwConfig` takes, on which every bench has to run."""

from __future__ import annotations

from dataclasses import replace

from stamp_hw.config import HwConfig

_SMALL = HwConfig(rows=2, cols=2, lanes=2, axes=2, max_levels=2, max_k=6, max_tokens=9, act_slots=6, rescale_lanes=1,
                  in_width=9, acc_width=20, recip_frac=4, z_frac=2, mul_stages=1)
CORNERS = {
    "one of everything": HwConfig(rows=1, cols=1, lanes=1, axes=1, max_levels=0, max_k=1, max_tokens=1, act_slots=1,
                                  in_width=8, acc_width=16, recip_frac=0, z_frac=0, mul_stages=1),
    "one row slot": replace(_SMALL, act_slots=1),
    "one token": replace(_SMALL, max_tokens=1),
    "one column": replace(_SMALL, cols=1),
    "one channel": replace(_SMALL, max_k=1, acc_width=16),
    "more lanes than channels": replace(_SMALL, lanes=9),
    "no levels": replace(_SMALL, max_levels=0),
    "one level, so none in 2-D": replace(_SMALL, max_levels=1),
    "tiles larger than the longest sequence": replace(_SMALL, max_levels=6, act_slots=33),
    "the narrowest input": replace(_SMALL, in_width=8, recip_frac=0, z_frac=0),
    "the widest of all": replace(_SMALL, in_width=16, acc_width=32, recip_frac=8, z_frac=4, mul_stages=4, axes=1),
    "more rows than row slots": replace(_SMALL, rows=5, act_slots=2),
}
