"""What those need who program `stamp_npu` (a Markdown document) or put it beside a processor (a block design)."""

from __future__ import annotations

from pathlib import Path
from string import Template

from rtl_gen.axi.registers import events, job_descriptions
from rtl_gen.delivery.handover_registers import event_rows, register_tables
from rtl_gen.dma.layer import descriptor_words
from rtl_gen.dma.registers import npu_registers
from stamp_hw.dma.descriptor import INTERRUPT, LAST, MAGIC, VERSION
from stamp_hw.dma.order import ENDS, EXPONENT_AT, EXPONENT_BITS, SUPPRESS, TOKEN_BITS
from stamp_hw.dma.params import DmaParams

TEMPLATES = Path(__file__).parent / "templates"
DOCUMENT, ZYNQ = "npu.md", "zynq.tcl"
_FIELDS = {
    "magic": f"0x{MAGIC:08X}: a descriptor, version {VERSION}",
    "flags": f"{LAST}: the chain ends here; {INTERRUPT}: IRQ_STATUS.layer when the layer is done",
    "next": "address of the next descriptor, where the chain does not end", "order": "address of the order table",
    "act": "address of token 0 of the input", "wgt": "address of the weights of a super-tile",
    "par": "address of the parameters of a super-tile", "out": "address of token 0 of the results",
    "places": "entries of the order table", "act_bytes": "bytes of a token of the input",
    "act_stride": "bytes from one token of the input to the next", "wgt_bytes": "bytes of the weights",
    "par_bytes": "bytes of the parameters", "repeats": "super-tiles: as often are the weights and parameters read",
    "out_stride": "bytes from one token of the results to the next"}


def document(params: DmaParams) -> str:
    """Text of npu.md."""
    rows, details = register_tables(npu_registers(params))
    return Template((TEMPLATES / DOCUMENT).read_text(encoding="utf-8")).substitute(
        bus=params.bus_width, address=params.address_width, rows=rows, details=details,
        words="\n".join(_words(params)), entries="\n".join(_entries()), events=event_rows(events(params.engine)))


def meaning() -> dict[str, str]:
    """Field of a descriptor → what it holds."""
    return _FIELDS | {name: f"job register: {text}" for name, text in job_descriptions().items()}


def zynq(freq_hz: float) -> str:
    """Text of zynq.tcl, a block design that Vivado has not seen."""
    return Template((TEMPLATES / ZYNQ).read_text(encoding="utf-8")).substitute(mhz=f"{freq_hz / 1e6:g}")


def _words(params: DmaParams) -> list[str]:
    """A row a word; of those that hold nothing one for all."""
    texts = meaning()
    found = []
    for number, word in enumerate(descriptor_words(params)):
        if word.mask:
            field = word.name.removesuffix("_high")
            text = texts[field] + (", upper half" if field != word.name else "") + "; not 0" * (
                word.needed and field != "magic")
            found.append(f"| {number} | `{word.name}` | 0x{word.mask:08X} | {text} |")
    return [*found, "| all others | | none | reserved |"]


def _entries() -> list[str]:
    return [f"| {TOKEN_BITS - 1}:0 | token: row of the input that goes there, and of the results from there |",
            f"| {EXPONENT_AT + EXPONENT_BITS - 1}:{EXPONENT_AT} | exponent of an outlier |",
            f"| {SUPPRESS.bit_length() - 1} | the place is filled: what comes out is not written |",
            f"| {ENDS.bit_length() - 1} | a super-tile ends |", "| all others | 0 |"]
