"""The rows of the table: combinations that a trace, a configuration and fit sequences allow, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.ablate.names import FEATURES, TRANSFORMS
from sim.paper import transforms
from sim.paper.transforms import Transform
from stamp_hw.config import MAX_LEVELS, NpuConfig, auto_levels
from stamp_hw.errors import LayerError, StampError
from stamp_hw.haar import Grid

#: Transforms that the generated hardware has.
IN_HARDWARE = ("identity", "haar", "haar_1d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A layer's tokens: `count`, in a `grid` or None, `sinks` the positions of its outliers; `kind` may have a job of
    its own."""

    name: str
    kind: str
    count: int
    grid: Grid | None
    sinks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A transform along tokens.

    `transform` : identity, haar (2-D on a grid), haar_1d (a grid's tokens in raster order), dct, walsh, klt
    `levels` : of haar and haar_1d, else None
    `shuffled` : tokens are permuted first, the control of what their order is worth
    """

    transform: str
    levels: int | None = None
    shuffled: bool = False

    @property
    def key(self) -> str:
        """One of `TRANSFORMS`."""
        return "shuffled" if self.shuffled else {"haar_1d": "raster"}.get(self.transform, self.transform)

    @property
    def label(self) -> str:
        """As tables name it."""
        name = {"haar_1d": "haar, raster order"}.get(self.transform, self.transform)
        return f"{name}, shuffled" if self.shuffled else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `feature` transform, `sinks` ("none", "out" of the transform, "in"), `variant`, `high` where n_hi
    coefficients take 8 bits (else all take 4)."""

    feature: str
    sinks: str
    variant: Variant
    high: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """`variants` and `sinks` of each of the `features`, and rows that are left out: (which, why)."""

    features: tuple[str, ...]
    variants: tuple[Variant, ...]
    sinks: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def plan(layers: Sequence[Tokens], config: NpuConfig, levels: Sequence[int] | None, fitted: bool,
         transforms_wanted: Sequence[str] = TRANSFORMS, features: Sequence[str] = FEATURES) -> Plan:
    """The rows for these layers.

    Parameters
    ----------
    layers : all of them grids or all sequences
    levels : of the Haar rows; None for 1 to one more than `n_hi` 8-bit tokens need to hold the low-pass band, or for
        what the configuration's job says. The jobs' own numbers are always among them: the shuffled control takes
        the largest of them.
    fitted : whether there are sequences to fit a KLT on
    transforms_wanted, features : of `TRANSFORMS` and `FEATURES`

    Raises
    ------
    StampError : grids and sequences in one table, whose means would be of neither
    """
    if len({layer.grid is None for layer in layers}) > 1:
        raise StampError("grids and sequences in one table", where="--layers",
                         got=next(layer.name for layer in layers if layer.grid is None), expected="only one of the two")
    two_d = layers[0].grid is not None
    own = {job_levels(layer, config, two_d) for layer in layers}
    wanted = [config.job.levels] if levels is None and config.job.levels != "auto" else levels
    if wanted is None:
        most = max(auto_levels(layer.count, n_hi(layer.count, config.for_kind(layer.kind)), two_d) for layer in layers)
        wanted = range(1, min(most + 1, MAX_LEVELS) + 1)
    left_out = []
    variants = [Variant(transform="identity")]
    variants += [Variant(transform="haar", levels=level) for level in sorted({*own, *wanted} - {0})]
    if two_d:
        line = max(job_levels(layer, config, False) for layer in layers)
        variants.append(Variant(transform="haar_1d", levels=line))
    variants.append(Variant(transform="dct"))
    reason = _refused(layers)
    if reason:
        left_out.append(("walsh", reason))
    else:
        variants.append(Variant(transform="walsh"))
    if fitted:
        variants.append(Variant(transform="klt"))
    else:
        left_out.append(("klt", "needs --fit: sequences other than those it is measured on"))
    variants.append(Variant(transform="haar", levels=max(own), shuffled=True))
    left_out.append(("engine figures of dct, walsh, klt", "the hardware lifts by Haar alone"))
    sinks: tuple[str, ...] = ("none",)
    if any(layer.sinks for layer in layers):
        sinks = ("out", "in")
    else:
        left_out.append(("sinks out of the transform", "a grid has none" if two_d else
                         "no layer has any, as trace and job (outliers) say"))
    variants = [variant for variant in variants if variant.key in ("identity", *transforms_wanted)]
    return Plan(tuple(feature for feature in FEATURES if feature in features), tuple(variants), sinks, tuple(left_out))


def n_hi(count: int, config: NpuConfig) -> int:
    """8-bit coefficients of the rows that have any, of so many tokens; `config` of the layer's kind."""
    return config.with_job(levels=0).resolve(count).n_hi


def job_levels(layer: Tokens, config: NpuConfig, two_d: bool) -> int:
    """Levels of the configuration's own job, capped by the hardware, on these tokens in 1-D or 2-D."""
    limit = config.hw.max_levels // 2 if two_d else config.hw.max_levels
    job = config.for_kind(layer.kind).job
    if job.levels != "auto":
        return job.levels
    return min(auto_levels(layer.count, n_hi(layer.count, config.for_kind(layer.kind)), two_d), limit)


def in_hardware(variant: Variant, grid: Grid | None, config: NpuConfig) -> bool:
    """Whether the hardware of this configuration runs it, so that the row has integer figures."""
    two_d = grid is not None and variant.transform == "haar"
    limit = config.hw.max_levels // 2 if two_d else config.hw.max_levels
    return (variant.transform in IN_HARDWARE and (variant.levels or 0) <= limit
            and (not two_d or config.hw.axes == 2))


def build(variant: Variant, tokens: int, grid: Grid | None, klt: Callable[[], Transform]) -> Transform:
    """The float transform of a variant; `klt` makes the fitted one where it is wanted."""
    if variant.transform == "identity":
        return transforms.IDENTITY
    if variant.transform in ("haar", "haar_1d"):
        return transforms.haar(tokens, variant.levels or 0, grid if variant.transform == "haar" else None)
    if variant.transform == "klt":
        return klt()
    return {"dct": transforms.dct, "walsh": transforms.walsh}[variant.transform](tokens, grid)


def _refused(layers: Sequence[Tokens]) -> str | None:
    """Why a Walsh–Hadamard row is left out; None where every layer has that transform."""
    for layer in layers:
        try:
            transforms.walsh(layer.count, layer.grid)
        except LayerError as error:
            return f"{error.got} tokens along an axis are no power of two (layer {layer.name})"
    return None
