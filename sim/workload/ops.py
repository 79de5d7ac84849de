"""A workload: what a model asks of the hardware, phase by phase, as operations with shapes and no data.

Every class is validated when it is made, and says which of its fields is impossible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from stamp_hw.errors import ConfigError, brief

MOST = 10**9  # of any count or size: sums of cycles stay far from the limits of a float64
MOST_JOBS = 1 << 16  # of different ones of an operation: each is followed by itself
UNITS = ("token", "image")


def check(ok: bool, op: str, name: str, got: object, expected: str) -> None:
    """Raise ConfigError for a field of an operation unless `ok`."""
    if not ok:
        raise ConfigError("impossible value", where=f"{op}.{name}", got=brief(got), expected=expected)


def _whole(owner: object, op: str, *names: str, least: int = 1) -> None:
    for name in names:
        value = getattr(owner, name)
        check(type(value) is int and least <= value <= MOST, op, name, value, f"a whole number in {least}…{MOST}")


def _flag(owner: object, op: str, name: str) -> None:
    check(type(getattr(owner, name)) is bool, op, name, getattr(owner, name), "true or false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Linear layers of one input, Y = X · Wᵀ + b, the weights in the external memory.

    Parameters
    ----------
    name : what reports call it
    tokens : S of a sequence
    k : input channels
    outputs : pairs (kind of a layer, as in a configuration's section `kinds`, its output channels N)
    grid : (H, W) of the tokens of an image, or None for a sequence
    repeat : times in a step, one for each block of the model
    shared_input : layers whose jobs are the same are one job of all their outputs, so that X is fetched, transformed
        and quantized once; else each is a job of its own
    transform : False for tokens that no transform gains anything on, as those of a prompt, or a single vector
    activation_bits : 8 or 4 of every token whatever the scheme, or None: the scheme says
    weight_bits : 8 or 4 whatever the configuration says, or None
    """

    OP: ClassVar[str] = "linear"
    name: str
    tokens: int
    k: int
    outputs: tuple[tuple[str, int], ...]
    grid: tuple[int, int] | None = None
    repeat: int = 1
    shared_input: bool = True
    transform: bool = True
    activation_bits: int | None = None
    weight_bits: int | None = None

    def __post_init__(self) -> None:
        op = self.name
        _whole(self, op, "tokens", "k", "repeat")
        check(len(self.outputs) > 0, op, "outputs", {}, "a kind of layer and its output channels")
        for kind, n in self.outputs:
            check(type(n) is int and 1 <= n <= MOST, op, f"outputs.{kind}", n, f"a whole number in 1…{MOST}")
        grid = self.grid
        check(grid is None or len(grid) == 2 and all(type(side) is int and side >= 1 for side in grid)
              and grid[0] * grid[1] == self.tokens, op, "grid", grid, f"[H, W] with H · W = {self.tokens} tokens")
        _flag(self, op, "shared_input")
        _flag(self, op, "transform")
        for name in ("activation_bits", "weight_bits"):
            check(getattr(self, name) in (None, 4, 8), op, name, getattr(self, name), "4, 8 or null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """The two products of attention, scores = Q · Kᵀ and P · V, on the array without transform; softmax is for the
    vector unit.

    Keys and values stand where weights do and travel at `kv_bits`; queries and probabilities take 8 bits. Heads that
    share keys are rows of one product. Queries come in blocks of `query_block`, and under a causal mask a block is
    multiplied by the keys up to its end alone.

    Parameters
    ----------
    name, repeat : as in `Linear`
    tokens : queries of a sequence
    heads, kv_heads : heads of queries, a multiple of those of keys and values
    head_dim : channels of a head
    context : keys of a sequence in the first step, the queries' own among them
    grow : keys by which that grows from step to step (1: decode)
    causal : the queries are the last tokens of the context, and see no key behind their own
    query_block : queries of a job, each with all heads that share its keys
    kv_bits : 8 or 4
    """

    OP: ClassVar[str] = "attention"
    name: str
    tokens: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    grow: int = 0
    causal: bool = False
    query_block: int = 256
    kv_bits: int = 8
    repeat: int = 1

    def __post_init__(self) -> None:
        op = self.name
        _whole(self, op, "tokens", "heads", "kv_heads", "head_dim", "context", "query_block", "repeat")
        _whole(self, op, "grow", least=0)
        _flag(self, op, "causal")
        check(self.heads % self.kv_heads == 0, op, "heads", self.heads, f"a multiple of kv_heads = {self.kv_heads}")
        check(not self.causal or self.context >= self.tokens, op, "context", self.context,
              f"at least the {self.tokens} queries, which a causal context ends with")
        check(self.kv_bits in (4, 8), op, "kv_bits", self.kv_bits, "4 or 8")
        check(self.tokens <= MOST_JOBS * self.query_block, op, "query_block", self.query_block,
              f"at least {-(-self.tokens // MOST_JOBS)}: at most {MOST_JOBS} blocks")

    def queries(self) -> list[tuple[int, int]]:
        """Blocks of queries: (how many, keys that they see in the first step)."""
        ends = [*range(self.query_block, self.tokens, self.query_block), self.tokens]
        starts = [0, *ends[:-1]]
        before = self.context - self.tokens
        return [(end - start, before + end if self.causal else self.context)
                for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of two activations of another form, as those of linear attention: `heads` products of `tokens` × `k`
    by `k` × `n` a sequence, the second operand where weights are, at `kv_bits`."""

    OP: ClassVar[str] = "product"
    name: str
    tokens: int
    k: int
    n: int
    heads: int = 1
    kv_bits: int = 8
    repeat: int = 1

    def __post_init__(self) -> None:
        _whole(self, self.name, "tokens", "k", "n", "heads", "repeat")
        check(self.kv_bits in (4, 8), self.name, "kv_bits", self.kv_bits, "4 or 8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """Work of the vector unit on `values` values a sequence and step (`grow` more in each step), in `passes`
    operations on each (`sim.workload.vector`)."""

    OP: ClassVar[str] = "vector"
    name: str
    values: int
    passes: int
    grow: int = 0
    repeat: int = 1

    def __post_init__(self) -> None:
        _whole(self, self.name, "values", "passes", "repeat")
        _whole(self, self.name, "grow", least=0)


Op = Linear | Attention | Product | Vector
OPS: dict[str, type[Op]] = {op.OP: op for op in (Linear, Attention, Product, Vector)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run, of so many equal `steps` (but for what grows), which together make `produces` of its `unit`.

    `batch` sequences or images stand side by side in every operation, each with a transform of its own.
    """

    name: str
    unit: str
    produces: int
    ops: tuple[Op, ...]
    steps: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        _whole(self, self.name, "produces", "steps", "batch")
        check(self.unit in UNITS, self.name, "unit", self.unit, " or ".join(UNITS))
        grows = any(getattr(op, "grow", 0) for op in self.ops)
        check(not grows or self.steps <= MOST_JOBS, self.name, "steps", self.steps,
              f"at most {MOST_JOBS} where a context grows")
        _check_names(self.name, "operation", [op.name for op in self.ops])


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A run of a model: its phases, one after the other, and what of the model is not in them."""

    name: str
    phases: tuple[Phase, ...]
    not_included: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_names(self.name, "phase", [phase.name for phase in self.phases])


def _check_names(where: str, what: str, names: Sequence[str]) -> None:
    """Raise ConfigError where there is none, or two have one name."""
    if not names:
        raise ConfigError(f"no {what}", where=where, expected=f"at least one {what}")
    if len(set(names)) < len(names):
        raise ConfigError(f"two {what}s of one name", where=where, got=", ".join(names), expected="a name each")
