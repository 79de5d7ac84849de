"""The evaluations that the results lead with: rotation × scale × weights × scheme on a language model, and rotation ×
scale × scheme on an image model."""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw.errors import StampError

LANGUAGE, IMAGE = "configs/language.yaml", "configs/image.yaml"
ALL = ("a8", "a4", "first_n", "stamp", "stamp_shuffled")
NONE, BLOCK, FULL = "none", "block Hadamard", "full Hadamard"
NAMED_WINDOWS, WINDOWS, LENGTH = 17, 3, 512  # 17 × 511 predicted tokens are 8,687
_LANES = 16  # channels a beat, of which every block here is whole beats
_HARDWARE = {NONE: ("--hw", "hadamard=null"), BLOCK: (), FULL: ("--hw", "hadamard=null", "--rotate", "hadamard")}
_WEIGHTS = {"8 bits": ("--job", "weight_bits=8", "--job", "weight_group=null"), "4 bits, nearest": (),
            "4 bits, GPTQ": ("--weights", "gptq")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run of `eval`, several schemes: `block` channels share a scale, None is a scale a token; `named` rows are
    measured on NAMED_WINDOWS windows; `beside` names the run whose `stamp` row these rows are compared with, where it
    is not their own."""

    name: str
    rotation: str
    block: int | None
    weights: str = "8 bits"
    center: bool = False
    schemes: tuple[str, ...] = ALL
    named: bool = False
    beside: str | None = None

    @property
    def windows(self) -> int:
        """Windows of the text."""
        return NAMED_WINDOWS if self.named else WINDOWS

    @property
    def scale(self) -> str:
        """What has a scale of its own."""
        return "token" if self.block is None else f"block of {self.block}"

    def words(self, preset: str) -> list[str]:
        """What `stamp-hw eval` is told of it beside what it runs."""
        group = ("--job", "group=null") if self.block is None else (
            "--hw", f"lanes={_LANES}", "--hw", f"block={self.block}", "--job", f"group={self.block}")
        return ["--config", preset, *_HARDWARE[self.rotation], *group, *_WEIGHTS[self.weights],
                *(["--center"] if self.center else []), "--schemes", ",".join(self.schemes)]


#: Sixteen named rows, then the others. 4-bit weights are in groups of 32, `lm_head` at 8 bits, as the preset has them.
SETTINGS = (
    Setting(name="w8", rotation=BLOCK, block=64, named=True),
    Setting(name="gptq", rotation=BLOCK, block=64, weights="4 bits, GPTQ", schemes=ALL[:4], named=True),
    Setting(name="gptq_32", rotation=BLOCK, block=32, weights="4 bits, GPTQ", schemes=("a4", "stamp"), named=True),
    Setting(name="equal_bits", rotation=BLOCK, block=48, schemes=("a4",), named=True, beside="w8"),
    Setting(name="center", rotation=BLOCK, block=64, center=True, schemes=("a4", "stamp"), named=True),
    Setting(name="full_token", rotation=FULL, block=None, schemes=("stamp",), named=True),
    Setting(name="none_block", rotation=NONE, block=64, schemes=("stamp",), named=True),
    *(Setting(name=name, rotation=rotation, block=block)
      for name, rotation, block in (("none_token_all", NONE, None), ("none_block_all", NONE, 64),
                                    ("block_token_all", BLOCK, None), ("full_token_all", FULL, None),
                                    ("full_block_all", FULL, 64))),
    Setting(name="nearest", rotation=BLOCK, block=64, weights="4 bits, nearest", schemes=ALL[:4]),
    Setting(name="nearest_unrotated", rotation=NONE, block=64, weights="4 bits, nearest", schemes=ALL[:4]),
    Setting(name="gptq_unrotated", rotation=NONE, block=64, weights="4 bits, GPTQ", schemes=ALL[:4]),
)


#: Of the image model, whose preset has 8-bit weights.
PICTURES = tuple(Setting(name=f"{name}_{scale}", rotation=rotation, block=block)
                 for name, rotation in (("none", NONE), ("block", BLOCK), ("full", FULL))
                 for scale, block in (("token", None), ("block", 64)))


def chosen(names: str | None) -> tuple[Setting, ...]:
    """Of a comma-separated list, in the table's order; all where there is none. Raises StampError for unknown ones."""
    if names is None:
        return SETTINGS
    wanted = names.split(",")
    known = [setting.name for setting in SETTINGS]
    for name in wanted:
        if name not in known:
            raise StampError("unknown setting", where="--only", got=name, expected=f"of {', '.join(known)}")
    return tuple(setting for setting in SETTINGS if setting.name in wanted)
