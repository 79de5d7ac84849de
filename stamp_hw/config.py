"""The one configuration: what hardware is generated, and what job its registers hold.

`NpuConfig.hw` fixes the RTL (and so the cycle and energy models); `NpuConfig.job` is what the registers of that
hardware are set to for a layer; `NpuConfig.kinds` may say something else for layers of a kind. Block parameters
(`stamp_hw.params`) are derived from `hw`; no constant is restated elsewhere. Files are YAML with these sections; they
are validated once, here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from stamp_hw import positions
from stamp_hw.errors import ConfigError, brief
from stamp_hw.formats.yaml_file import load_yaml
from stamp_hw.hw_config import (
    HADAMARD_BLOCKS,
    HW_RANGES,
    MAX_LEVELS,
    WEIGHT_GROUPS,
    HwConfig,
    integer,
    least_acc_width,
    require,
)
from stamp_hw.memory_config import MemoryConfig

__all__ = ["HW_RANGES", "MAX_LEVELS", "HwConfig", "JobConfig", "NpuConfig", "ResolvedJob", "auto_levels",
           "least_acc_width", "section_of"]
MAX_HADAMARD_SHIFT = HADAMARD_BLOCKS[-1].bit_length() - 1
_PART = re.compile(r"1/([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """What the job registers hold.

    Parameters
    ----------
    levels : lifting levels, 0…8, or "auto" (docs/contract.md §3.3)
    n_hi : tokens at 8 bits, in coefficient order: a number, "1/N" = ceil(S / N), or "auto" = "1/32"
    scale_mode : "minmax" or "symmetric"
    group : channels that share an activation scale: the hardware's block, or None for one scale a token (which a
        layer of no more channels has as well)
    outliers : tokens of a sequence that are kept out of the transform: their positions, "off", or "auto" = what the
        trace says
    weight_bits : 8 or 4
    weight_group : input channels that share a step and a zero of 4-bit weights, 32, 64 or 128; None for weights without
        groups (docs/contract.md §3.5)
    hadamard : shift r of the Hadamard unit, 0…8; "auto" takes the smallest at which the layer does not saturate, or
        with static scales log2(block) / 2 + 1; "off" lets the channels pass; without a unit both mean the same
    calibration : "auto" takes the layer's static scales where it has them, "self" the tensor's own absmax,
        "static" refuses a layer without them
    """

    levels: int | Literal["auto"] = "auto"
    n_hi: int | str = "auto"
    scale_mode: str = "minmax"
    group: int | None = None
    outliers: positions.Which = "auto"
    weight_bits: int = 4
    weight_group: int | None = None
    hadamard: int | str = "auto"
    calibration: str = "auto"

    def __post_init__(self) -> None:
        named = positions.parse(self.outliers)
        if named is None:
            raise ConfigError("impossible value", where="job.outliers", got=brief(self.outliers),
                              expected="auto, off, or positions such as 0 or [0, 17]")
        object.__setattr__(self, "outliers", named)
        for name, high in (("levels", MAX_LEVELS), ("n_hi", 65536)):
            value = getattr(self, name)
            if name == "n_hi" and isinstance(value, str):
                require(value == "auto" or _PART.fullmatch(value) is not None, "job.n_hi", value,
                         "an integer in 0…65536, auto, or a part such as 1/16")
            elif value != "auto":
                integer("job", self, name, 0, high)
        if self.hadamard is False:  # what YAML makes of off
            object.__setattr__(self, "hadamard", "off")
        if not (isinstance(self.hadamard, str) and self.hadamard in ("auto", "off")):
            require(type(self.hadamard) is int and 0 <= self.hadamard <= MAX_HADAMARD_SHIFT, "job.hadamard",
                    self.hadamard, f"auto, off or an integer in 0…{MAX_HADAMARD_SHIFT}")
        if self.group is not None:
            integer("job", self, "group", 1, 32768)
        require(type(self.weight_bits) is int and self.weight_bits in (4, 8), "job.weight_bits",
                 self.weight_bits, "4 or 8")
        group = self.weight_group
        require(group is None or type(group) is int and group in WEIGHT_GROUPS, "job.weight_group", group,
                 "32, 64, 128 or null")
        require(group is None or self.weight_bits == 4, "job.weight_group", group,
                 "null: weights of 8 bits have no groups")
        require(self.scale_mode in ("minmax", "symmetric"), "job.scale_mode", self.scale_mode,
                 "minmax or symmetric")
        require(self.calibration in ("auto", "self", "static"), "job.calibration", self.calibration,
                 "auto, self or static")

    @property
    def symmetric(self) -> bool:
        return self.scale_mode == "symmetric"

    def outliers_of(self, known: tuple[int, ...], tokens: int) -> tuple[int, ...]:
        """The outliers of a layer of so many tokens, of which a trace or a look at it says that it has `known`.

        Raises ConfigError for positions of the job's own that are no tokens of it, or too many.
        """
        if isinstance(self.outliers, str):
            return known if self.outliers == "auto" else ()
        require(positions.ascend_within(self.outliers, tokens), "job.outliers", list(self.outliers),
                 f"ascending positions in 0…{tokens - 1}")
        require(len(self.outliers) <= positions.most_outliers(tokens), "job.outliers", list(self.outliers),
                 f"at most {positions.most_outliers(tokens)} of {tokens} tokens")
        return self.outliers

    def high_tokens(self, tokens: int) -> int:
        """n_hi of a sequence of so many tokens."""
        if isinstance(self.n_hi, int):
            return min(self.n_hi, tokens)
        match = _PART.fullmatch(self.n_hi)
        return math.ceil(tokens / (int(match[1]) if match else 32))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedJob:
    """The numbers of one job: `tokens` of the sequence, `grid`, `levels`, `n_hi`, `n_sink` tokens in front of it that
    bypass the transform (its outliers), and warnings: each a (kind, severity in 0…1, text)."""

    tokens: int
    grid: tuple[int, int] | None
    levels: int
    n_hi: int
    n_sink: int
    warnings: tuple[tuple[str, float, str], ...] = ()

    @property
    def average_bits(self) -> float:
        """Bits that travel for an activation, averaged over the tokens: an outlier has 8 beside those of its place."""
        return (8 * (self.n_hi + self.n_sink) + 4 * (self.tokens - self.n_hi)) / self.tokens


def auto_levels(tokens: int, n_hi: int, two_d: bool) -> int:
    """min(8, ceil(log2(tokens / max(n_hi, 1)))) in 1-D; half of that, rounded up, in 2-D."""
    levels = 0
    while max(n_hi, 1) << levels < tokens and levels < MAX_LEVELS:
        levels += 1
    return (levels + 1) // 2 if two_d else levels


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuConfig:
    """Hardware and job together; `NpuConfig()` is the default 8 × 8 array.

    `kinds` holds pairs of a layer's kind and the job of layers of that kind; `job` is that of all others.
    """

    hw: HwConfig = field(default_factory=HwConfig)
    job: JobConfig = field(default_factory=JobConfig)
    kinds: tuple[tuple[str, JobConfig], ...] = ()

    @classmethod
    def load(cls, path: str | Path, hw: Mapping[str, Any] | None = None, job: Mapping[str, Any] | None = None
             ) -> NpuConfig:
        """Read a YAML file, then give values of its hardware as `hw` says and of its section `job` as `job` does; what
        neither gives is derived from both. A kind that has a value of its own keeps it.

        Raises ConfigError naming file and key path, of a value in `hw` or `job` the key path alone.
        """
        path = Path(path)
        data = load_yaml(path, "configuration")
        try:
            config = cls.from_dict(data)
        except ConfigError as error:
            where = f"{path}: {error.where}" if error.where else str(path)
            raise ConfigError(error.what, where=where, got=error.got, expected=error.expected) from None
        data = data or {}
        changed = {name: {**_without(data.get(name) or {}, values), **values}
                   for name, values in (("hw", hw), ("job", job)) if values}
        return cls.from_dict({**data, **changed}) if changed else config

    @classmethod
    def from_dict(cls, data: Any) -> NpuConfig:
        """Build from nested dictionaries, refusing unknown sections and keys."""
        data = {} if data is None else data
        sections: dict[str, Callable[..., Any]] = {"hw": HwConfig, "job": JobConfig}
        if not isinstance(data, dict):
            raise ConfigError("not a mapping", got=type(data).__name__, expected="sections hw and job")
        for key in data:
            if key not in (*sections, "kinds"):
                raise ConfigError("unknown section", where=str(key), expected="hw, job or kinds")
        parts: dict[str, Any] = {}
        for name, section in sections.items():
            values = data.get(name)
            values = {} if values is None else values
            known = [item.name for item in fields(section)]  # type: ignore[arg-type]
            if not isinstance(values, dict):
                raise ConfigError("not a mapping", where=name, got=type(values).__name__,
                                  expected=f"keys among {', '.join(known)}")
            _check_keys(name, values, known)
            parts[name] = section(**_one_rate(values))
        return cls(**parts, kinds=_kinds(data.get("kinds"), parts["job"]))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Nested dictionaries that `from_dict` reads back; of a kind, what differs from the job."""
        own = asdict(self.job)
        kinds = {kind: {key: value for key, value in asdict(job).items() if value != own[key]}
                 for kind, job in self.kinds}
        return {"hw": self.hw.to_dict(), "job": own, **({"kinds": kinds} if kinds else {})}

    @property
    def hadamard(self) -> int | None:
        """Channels of a block that the job transforms, None where it is off or the hardware has no unit."""
        return None if self.job.hadamard == "off" else self.hw.hadamard

    def for_kind(self, kind: str) -> NpuConfig:
        """The configuration of a layer of this kind: its own job, if it has one, and no other kinds'."""
        return replace(self, job=dict(self.kinds).get(kind, self.job), kinds=()) if self.kinds else self

    def check_n_hi(self, layers: Iterable[tuple[str, int]]) -> None:
        """Raise ConfigError for an `n_hi` beyond the tokens of every layer that takes it from its job.

        `layers`: kind and tokens of all layers of a run. In one of several layers such a number may be
        right, since a job is for layers of several lengths; where it fits none of them it is a slip.
        """
        kinds = dict(self.kinds)
        longest: dict[str, int] = {}
        for kind, tokens in layers:
            where = f"kinds.{kind}" if kind in kinds else "job"
            longest[where] = max(longest.get(where, 0), tokens)
        for where, most in longest.items():
            n_hi = kinds.get(where.removeprefix("kinds."), self.job).n_hi
            require(not isinstance(n_hi, int) or n_hi <= most, f"{where}.n_hi", n_hi,
                     f"at most {most}, the tokens of the longest layer; 1/1 for all of every layer")

    def with_job(self, **changes: Any) -> NpuConfig:
        """The same hardware with some job registers changed, those of every kind included."""
        kinds = tuple((kind, replace(job, **changes)) for kind, job in self.kinds)
        return replace(self, job=replace(self.job, **changes), kinds=kinds)

    def with_hw(self, **changes: Any) -> NpuConfig:
        """The same job on changed hardware."""
        return replace(self, hw=replace(self.hw, **changes))

    def resolve(self, tokens: int, grid: tuple[int, int] | None = None, *, n_sink: int = 0,
                k: int | None = None, transform: bool = True) -> ResolvedJob:
        """Fill in `auto` and hold the job against the hardware.

        Parameters
        ----------
        tokens : S
        grid : (H, W) or None for a sequence
        n_sink : tokens in front of the sequence, see `JobConfig.outliers_of`
        k : input channels, checked against `hw.max_k` when given
        transform : False for a layer that is not to be transformed: its levels are 0

        Raises
        ------
        ConfigError : a job beyond the hardware, naming the limit
        """
        hw, job = self.hw, self.job
        two_d = grid is not None
        # First: else it would be blamed on the grid.
        require(not (two_d and n_sink), "job.outliers", n_sink, "none on a 2-D grid")
        require(tokens >= 1 and (grid is None or grid[0] * grid[1] == tokens), "job.grid", (tokens, grid),
                 "at least one token, and H·W = tokens")
        require(tokens <= hw.max_tokens, "job.tokens", tokens, f"at most hw.max_tokens = {hw.max_tokens}")
        require(k is None or k <= hw.max_k, "job.k", k, f"at most hw.max_k = {hw.max_k}")
        block, shift = self.hadamard, job.hadamard
        require(k is None or block is None or -(-k // block) * block <= hw.max_k, "job.k", k,
                f"whole blocks of hw.hadamard = {block} within hw.max_k = {hw.max_k}; or job.hadamard: off")
        require(isinstance(shift, str) or block is not None and 1 << shift <= block, "job.hadamard", shift,
                "auto or off: hw.hadamard is null" if block is None else f"at most log2 of hw.hadamard = {block}")
        steps = k if k is None or block is None else -(-k // block) * block
        require(steps is None or job.group is None or job.group >= steps or job.group == hw.block, "job.group",
                job.group, "null: this hardware has no blocks (hw.block)" if hw.block is None
                else f"null or hw.block = {hw.block}")
        require(not two_d or hw.axes == 2, "job.grid", grid, "a sequence: hw.axes = 1 has no 2-D lifting")
        n_hi = job.high_tokens(tokens)
        limit = hw.max_levels // 2 if two_d else hw.max_levels
        wanted = auto_levels(tokens, n_hi, two_d)
        warnings = []
        if not transform:
            levels = 0
        elif job.levels == "auto":
            levels = min(wanted, limit)
        else:
            levels = job.levels
            require(levels <= limit, "job.levels", levels,
                     f"at most {limit} ({'2-D' if two_d else '1-D'}, hw.max_levels = {hw.max_levels})")
        if isinstance(job.n_hi, int) and job.n_hi > tokens:
            warnings.append(("n_hi", 1 - tokens / job.n_hi,
                             f"n_hi = {job.n_hi} is beyond the tokens: all of them take 8 bits"))
        if 0 < levels < wanted:
            warnings.append(("levels", 0.0, f"levels = {levels}: it takes {wanted} for {n_hi} 8-bit tokens to hold the "
                             "low-pass band"))
        return ResolvedJob(tokens=tokens, grid=grid, levels=levels, n_hi=n_hi, n_sink=n_sink, warnings=tuple(warnings))


def section_of(key: object, first: str = "hw") -> str | None:
    """The section that has a value of this name: "hw", "job", or None for neither; the `first` of them if both have."""
    found = [name for name, section in (("hw", HwConfig), ("job", JobConfig))
             if key in [item.name for item in fields(section)]]
    return first if first in found else found[0] if found else None


#: Keys that somebody might try → what there is instead.
_NOT_KEYS = {"n_sink": "outliers names the tokens that bypass the transform"}


def _check_keys(where: str, values: Mapping[Any, Any], known: Sequence[str]) -> None:
    """Raise ConfigError for a key of a section that is not known."""
    for key in values:
        if key in _NOT_KEYS:
            raise ConfigError(_NOT_KEYS[key], where=f"{where}.{key}", got=brief(values[key]), expected="no such key")
        if key not in known:
            other = section_of(key)
            raise ConfigError("unknown key", where=f"{where}.{key}",
                              expected=f"it in section {other}" if other else f"one of {', '.join(known)}")


def _without(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A section's values less the one of the two forms of a memory that `given` has the other of."""
    other = {"memory": "dram_bytes_per_s", "dram_bytes_per_s": "memory"}
    return {key: value for key, value in values.items() if other.get(key) not in given}


def _one_rate(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a section; raises ConfigError where they have both forms of a memory, at different rates."""
    if values.get("memory") is not None and "dram_bytes_per_s" in values:
        rate, memory = values["dram_bytes_per_s"], MemoryConfig.parse(values["memory"])
        require(rate == memory.bytes_per_s, "hw.dram_bytes_per_s", rate,
                f"not beside hw.memory, whose bytes_per_s is {memory.bytes_per_s:g}")
    return values


def _kinds(data: Any, job: JobConfig) -> tuple[tuple[str, JobConfig], ...]:
    """The section `kinds`: a mapping of kinds to what differs from `job` for them."""
    if data is None:
        return ()
    known = [item.name for item in fields(JobConfig)]
    if not isinstance(data, dict):
        raise ConfigError("not a mapping", where="kinds", got=type(data).__name__, expected="kinds of layers")
    jobs: list[tuple[str, JobConfig]] = []
    for kind, values in data.items():
        where = f"kinds.{kind}"
        if str(kind) in dict(jobs):
            raise ConfigError("kind given twice", where=where, expected="each kind once")
        if not isinstance(values, dict):
            raise ConfigError("not a mapping", where=where, got=type(values).__name__,
                              expected=f"keys among {', '.join(known)}")
        _check_keys(where, values, known)
        try:
            jobs.append((str(kind), replace(job, **values)))
        except ConfigError as error:
            place = error.where.replace("job", where, 1)
            raise ConfigError(error.what, where=place, got=error.got, expected=error.expected) from None
    return tuple(jobs)
