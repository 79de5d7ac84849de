"""The driver of `stamp_npu` in C: one header, of the registers and descriptors of a build."""

from __future__ import annotations

from pathlib import Path
from string import Template

from rtl_gen.axi.registers import events
from rtl_gen.delivery.handover_npu import meaning
from rtl_gen.delivery.handover_registers import macros
from rtl_gen.dma.layer import descriptor_words
from rtl_gen.dma.registers import HARMLESS, npu_registers
from stamp_hw.dma.descriptor import ADDRESSES, BYTES, INTERRUPT, LAST, MAGIC, Word
from stamp_hw.dma.params import DmaParams

TEMPLATE = Path(__file__).parent / "templates" / "stamp_npu.h"
HEADER = "stamp_npu.h"
_PREFIX = "STAMP_NPU"


def c_header(params: DmaParams) -> str:
    """Text of stamp_npu.h."""
    table, words = npu_registers(params), descriptor_words(params)
    constants = [register.name for register in table if register.fields[0].access == "const"]
    same = [f"STAMP_NPU_READ(base, {_PREFIX}_{name}) == {_PREFIX}_{name}_VALUE" for name in constants]
    harmless = " | ".join(f"{_PREFIX}_ERROR_{name.upper()}_MASK" for name in HARMLESS)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        macros="\n".join(macros(table, events(params.engine), _PREFIX)), harmless=harmless, bytes=BYTES, last=LAST,
        interrupt=INTERRUPT, members="\n".join(_members(words)), words="\n".join(_writes(words)),
        same=" &&\n         ".join(same))


def fields(words: tuple[Word, ...]) -> list[str]:
    """Members of the struct `stamp_npu_layer`: what a descriptor holds beside its magic, `flags` by `interrupt`."""
    found = ["interrupt"]
    found += [word.name for word in words if word.mask and word.name not in ("magic", "flags")
              and not word.name.endswith("_high")]
    return found


def _members(words: tuple[Word, ...]) -> list[str]:
    texts = meaning() | {"interrupt": "1: IRQ_STATUS.layer when the layer is done"}
    return [f"  uint{64 if name in ADDRESSES else 32}_t {name}; /* {texts[name]} */" for name in fields(words)]


def _writes(words: tuple[Word, ...]) -> list[str]:
    """A statement a word that holds something."""
    lines = []
    for number, word in enumerate(words):
        if not word.mask:
            continue
        name = word.name.removesuffix("_high")
        value = f"layer->{name}"
        if name == "magic":
            value = f"0x{MAGIC:08X}u"
        elif name == "flags":
            value = f"(layer->next ? 0u : {_PREFIX}_LAST) | (layer->interrupt ? {_PREFIX}_INTERRUPT : 0u)"
        elif name != word.name:
            value = f"(uint32_t)({value} >> 32)"
        elif name in ADDRESSES:
            value = f"(uint32_t){value}"
        lines += [f"  if (stamp_npu_word(to + {4 * number}, {value}, 0x{word.mask:08X}u, {int(word.needed)}))",
                  f"    wrong = {number};"]
    return lines
