"""The schemes that a report compares on the same array, buffers, super-tiles and loop order.

`a8`, `a4`: every token at that precision. `first_n`: the first n_hi tokens at 8 bits, no transform. `stamp`: the
configuration's own job. `stamp_shuffled`: the same on randomly permuted tokens, which tells what locality is worth
from what chance gives.
"""

from __future__ import annotations

from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError

SHUFFLED = "stamp_shuffled"
SCHEMES = ("a8", "a4", "first_n", "stamp", SHUFFLED)


def check(names: tuple[str, ...], *, where: str = "--schemes", data: bool = True) -> None:
    """Raise StampError, which names the option or key `where`, for a name that is no scheme, or none at all; without
    `data`, for the one that needs some."""
    known = SCHEMES if data else tuple(name for name in SCHEMES if name != SHUFFLED)
    for name in names:
        if name not in SCHEMES:
            raise StampError("unknown scheme", where=where, got=name, expected=f"some of {','.join(known)}")
        if name not in known:
            raise StampError("without data there are no tokens to shuffle", where=where, got=name,
                             expected="stamp: it costs the same")
    if not names or len(set(names)) < len(names):
        raise StampError("schemes must be named once each", where=where, got=",".join(names) or "none",
                         expected=f"some of {','.join(known)}")


def configure(scheme: str, config: NpuConfig) -> NpuConfig:
    """The configuration whose job is that scheme."""
    if scheme == "a8":
        return config.with_job(levels=0, n_hi="1/1")
    if scheme == "a4":
        return config.with_job(levels=0, n_hi=0)
    if scheme == "first_n":
        return config.with_job(levels=0)
    return config
