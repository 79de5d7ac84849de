"""The drawings of the documents: `python -m docs.tools.drawings` writes docs/images/*.svg."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from docs.tools.results import ROOT
from docs.tools.svg import BITS, LINE, arrow, box, drawing, rect, text, tokens
from stamp_hw.formats.files import atomic_file

IMAGES = ROOT / "docs" / "images"
MIXED = (8, 8, *14 * (4,))
_LOG = logging.getLogger(__name__)


def legend(x: float, y: float) -> list[str]:
    shapes = []
    for i, bits in enumerate((16, 8, 4)):
        left = x + 92 * i
        shapes += [rect(left, y - 10, 22, 12, BITS[bits], "none", 2), text(left + 28, y, f"{bits} bits", 12, "start")]
    return [text(x - 12, y, "a token at", 12, "end"), *shapes]


def array(x: float, y: float, columns: int = 6, side: float = 30) -> list[str]:
    """Rows of PEs: the first holds an 8-bit token, each other one two 4-bit tokens."""
    shapes = []
    for row in range(6):
        for column in range(columns):
            left, top, size = x + column * side, y + row * side, side - 4
            if row < 2:
                shapes.append(rect(left, top, size, size, BITS[8], "none", 3))
            else:
                shapes += [rect(left, top, size, size / 2 - 1, BITS[4], "none", 3),
                           rect(left, top + size / 2 + 1, size, size / 2 - 1, BITS[4], "none", 3)]
    return shapes


def datapath() -> str:
    """X → lifting → few tokens at 8 bits, the others at 4 → array → rescale → inverse lifting → Y."""
    top, middle = 92.0, 203.0
    shapes = [
        text(68, 66, "X", 15, weight="bold"), text(68, 82, "tokens × channels", 11), tokens(28, top, 80, 16 * (16,)),
        arrow((112, middle), (140, middle)),
        box(144, middle - 46, 104, 92, "Haar lifting", ("along the tokens,", "additions only")),
        arrow((248, middle), (276, middle)),
        box(280, middle - 46, 104, 92, "quantizer", ("a scale for", "each token")),
        arrow((384, middle), (412, middle)),
        text(456, 66, "L·X", 15, weight="bold"), text(456, 82, "the energy is in a few", 11),
        tokens(416, top, 80, MIXED),
        arrow((500, middle), (528, middle)),
        text(621, 22, "W: untouched by the transform", 12), arrow((621, 27), (621, 50)),
        text(621, 66, "MAC array", 15, weight="bold"), text(621, 82, "one multiplier a PE", 11),
        rect(532, 90, 178, 226, "#ffffff", LINE), *array(535, 102, 6, 29),
        text(621, 296, "a row takes one 8-bit token", 11), text(621, 310, "or two 4-bit tokens", 11),
        arrow((710, middle), (738, middle)),
        box(742, middle - 46, 80, 92, "rescale", ("scale, zero", "point")),
        arrow((822, middle), (836, middle)),
        box(840, middle - 46, 116, 92, "inverse lifting", ("bias, rounding",)),
        arrow((956, middle), (980, middle)),
        text(1024, 66, "Y", 15, weight="bold"), text(1024, 82, "tokens × outputs", 11),
        tokens(984, top, 80, 16 * (16,)),
        *legend(120, 346)]
    return drawing(1092, 368, "The datapath: tokens are lifted along their axis, a few of them are quantized to 8 bits "
                   "and the others to 4, multiplied with the weights on one array, rescaled and lifted back", shapes)


DRAWINGS: dict[str, Callable[[], str]] = {"datapath": datapath}


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for name, draw in DRAWINGS.items():
        path = IMAGES / f"{name}.svg"
        with atomic_file(path) as stream:
            stream.write(draw())
        _LOG.info("%s", path.relative_to(ROOT))


if __name__ == "__main__":
    main()
