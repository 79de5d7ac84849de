"""The drawings of the documents: `python -m docs.tools.drawings` writes docs/images/*.svg."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from docs.tools.results import ROOT
from docs.tools.svg import BITS, BOX, LINE, PAPER, arrow, box, drawing, rect, text, tokens
from docs.tools.write import write

IMAGES = ROOT / "docs" / "images"
MIXED = (8, 8, *14 * (4,))


def legend(x: float, y: float) -> list[str]:
    shapes = []
    for i, bits in enumerate((16, 8, 4)):
        left = x + 92 * i
        shapes += [rect(left, y - 10, 22, 12, BITS[bits], "none", 2), text(left + 28, y, f"{bits} bits", 12, "start")]
    return [text(x - 12, y, "a token at", 12, "end"), *shapes]


def array(x: float, y: float, columns: int = 6, side: float = 30) -> list[str]:
    """Rows of PEs: the first two hold an 8-bit token each, every other one two 4-bit tokens."""
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
        box(144, middle - 46, 104, 92, "lifting: L", ("Haar wavelet,", "additions only")),
        arrow((248, middle), (276, middle)),
        box(280, middle - 46, 104, 92, "quantizer", ("a scale for", "each token")),
        arrow((384, middle), (412, middle)),
        text(456, 66, "L·X", 15, weight="bold"), text(456, 82, "the energy is in a few", 11),
        tokens(416, top, 80, MIXED),
        arrow((500, middle), (528, middle)),
        text(621, 22, "W: untouched by the transform", 12), arrow((621, 27), (621, 50)),
        text(621, 66, "MAC array", 15, weight="bold"), text(621, 82, "a multiplier in each cell", 11),
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


def lifting() -> str:
    """Eight tokens, three levels, each result where lifting in place leaves it."""
    stages = [("8 tokens", [f"x{i}" for i in range(8)]), ("level 1", ["s", "d1"] * 4),
              ("level 2", ["s", "d1", "d2", "d1"] * 2),
              ("level 3", ["s3", "d1", "d2", "d1", "d3", "d1", "d2", "d1"])]
    order = ["s3", "d3", "d2", "d2", "d1", "d1", "d1", "d1"]
    shapes, top, step = [], 70, 34
    for column, (title, cells) in enumerate(stages):
        left = 40 + 150 * column
        shapes.append(text(left + 35, 52, title, 13, weight="bold"))
        for row, name in enumerate(cells):
            fill = BOX if column == 0 else SUM if name.startswith("s") else DIFFERENCE
            shapes += [rect(left, top + step * row, 70, 26, fill), text(left + 35, top + step * row + 18, name, 12)]
        if column:
            pairs = [(row, row + 2 ** (column - 1)) for row in range(0, 8, 2 ** column)]
            for a, b in pairs:
                ya, yb = top + step * a + 13, top + step * b + 13
                shapes += [arrow((left - 80, ya), (left, ya)), arrow((left - 80, yb), (left, yb)),
                           arrow((left - 80, ya), (left, yb)), arrow((left - 80, yb), (left, ya))]
    left = 40 + 150 * 4
    shapes.append(text(left + 35, 52, "order", 13, weight="bold"))
    for row, name in enumerate(order):
        fill = BITS[8] if row == 0 else BITS[4]
        shapes += [rect(left, top + step * row, 70, 26, fill, "none"),
                   text(left + 35, top + step * row + 18, name, 12, fill=PAPER)]
    shapes += [text(left + 84, top + 18, "8 bits", 12, "start"),
               text(left + 84, top + step + 18, "4 bits", 12, "start"),
               text(40, 30, "d = b − a,  s = a + (d >> 1)", 14, "start", "bold"),
               text(290, 30, "each pair of neighbours; the next level takes the s", 12, "start")]
    return drawing(780, 360, "Three levels of lifting over eight tokens: pairs become a mean and a difference", shapes)


def chain(title: str, height: int, boxes: Sequence[tuple[str, Sequence[str]]], notes: Sequence[str] = (),
          width: int = 132) -> str:
    """Boxes one behind the other, notes below: a pipeline."""
    gap, left, top = 26, 30, 34
    shapes = [arrow((8, top + 42), (left, top + 42))]
    for i, (name, lines) in enumerate(boxes):
        x = left + i * (width + gap)
        shapes += [box(x, top, width, 84, name, lines), arrow((x + width, top + 42), (x + width + gap, top + 42))]
    shapes += [text(left, top + 112 + 18 * i, note, 12, "start") for i, note in enumerate(notes)]
    return drawing(left + len(boxes) * (width + gap) + 10, height, title, shapes)


def scale() -> str:
    return chain("The scale unit: range, reciprocal, quantizer", 190, [
        ("min, max", ("while a token", "streams in")), ("ring buffer", ("the token waits", "for its range")),
        ("divider", ("a bit a cycle:", "qmax / span")), ("quantizer", ("subtract, shift,", "multiply, round"))],
        ["One division a token; a multiplication a lane. Out: codes, with lo and span of their token.",
         "Min–max: lo = min, span = max − min. Symmetric: lo = −absmax, span = 2·absmax."])


def pe() -> str:
    shapes = [
        text(85, 30, "an 8-bit row", 12), *token(40, 40, 8, "a0: 8 bits", 34),
        text(85, 110, "a 4-bit row", 12), *token(40, 120, 4, "a1: 4 bits"), *token(40, 154, 4, "a0: 4 bits"),
        arrow((130, 57), (180, 96)), arrow((130, 152), (180, 118)),
        box(184, 66, 150, 82, "one multiplier", ("(a1·2¹² + a0) · w", "17 × 8 bits")),
        text(259, 30, "w: 8 bits, shared by the column", 12), arrow((259, 36), (259, 64)),
        arrow((334, 92), (400, 72)), arrow((334, 122), (400, 150)),
        box(404, 36, 170, 66, "first sum", ("p[11:0], or all of p",)),
        box(404, 118, 170, 66, "second sum", ("(p >> 12) + p[11]",)),
        arrow((574, 69), (640, 69)), arrow((574, 151), (640, 151)),
        box(644, 48, 130, 124, "hold registers", ("drain while the", "next tile runs"))]
    return drawing(800, 210, "A processing element: one multiplier makes one 8-bit product or two of 4 bits", shapes)


def token(x: float, y: float, bits: int, words: str, height: float = 30) -> list[str]:
    return [rect(x, y, 90, height, BITS[bits], "none"), text(x + 45, y + height / 2 + 5, words, 12, fill=PAPER)]


def rescale() -> str:
    return chain("The rescale unit: from sums to outputs of the transform", 190, [
        ("sums", ("acc + mid·wsum", "32 bits")), ("T", ("span · sum", "+ qmax·lo·wsum")),
        ("one unit", ("× 17 at 4 bits:", "255 = 17 · 15")), ("factor", ("× mant, >> shift", "of the channel")),
        ("saturate", ("24 bits,", "4 of them fraction"))],
        ["wsum: the sum of a channel's weights, which takes the zero point out. "
         "One factor a channel serves both precisions."])


def combine() -> str:
    return chain("The combine unit: from sums of blocks to T", 190, [
        ("sums", ("acc of a block,", "a column a cycle later")), ("product", ("span · acc", "a multiplier a column")),
        ("add", ("to T of the token;", "a first block: to 0")), ("two banks", ("one is written,", "one is read")),
        ("T", ("when the last", "column is written"))],
        ["A block of channels has a scale of its own: T = Σ span · acc over the blocks of an array tile.",
         "The bank of the tile before is read by the rescale unit, at its own rate."], width=146)


def engine() -> str:
    top, width, step = 96, 118, 162
    stages = [("front", ("lifting,", "quantizer")), ("rows", ("who goes in", "which row")),
              ("array", ("order of steps,", "MAC array")), ("drain", ("scale, zero", "point: rescale")),
              ("back", ("inverse lifting,", "bias"))]
    shapes = [text(30, top + 46, "i", 15, weight="bold"), arrow((38, top + 42), (60, top + 42)),
              text(70 + 5 * step, top + 46, "o", 15, weight="bold")]
    for i, (name, lines) in enumerate(stages):
        x = 64 + i * step
        shapes += [box(x, top, width, 84, name, lines), arrow((x + width, top + 42), (x + width + 40, top + 42))]
    middle = 64 + 2 * step + width / 2
    shapes += [text(middle - 196, 42, "w, p", 15, weight="bold"), arrow((middle - 176, 38), (middle - 134, 38)),
               box(middle - 130, 14, 260, 48, "loader", ("weights, parameters of a pass",)),
               arrow((middle, 62), (middle, top - 2))]
    for name, at in (("activation buffer", 1), ("weight buffer", 2), ("output buffer", 4)):
        x = 64 + at * step
        shapes += [rect(x - 8, 212, width + 16, 30, PAPER), text(x + width / 2, 232, name, 12),
                   arrow((x + width / 2, 212), (x + width / 2, top + 86))]
    shapes.append(text(64, 272, "Every buffer has two halves: one fills while the other is used. A stage begins only "
                       "what it can finish without waiting.", 12, "start"))
    return drawing(900, 292, "The engine's stages and the buffers between them", shapes)


SUM, DIFFERENCE = "#fbe3cf", "#d5e5f3"  # what goes on to the next level, and what stays
DRAWINGS: dict[str, Callable[[], str]] = {"datapath": datapath, "lifting": lifting, "scale": scale, "pe": pe,
                                          "combine": combine, "rescale": rescale,
                                          "engine": engine}


if __name__ == "__main__":
    write({IMAGES / f"{name}.svg": draw() for name, draw in DRAWINGS.items()})
