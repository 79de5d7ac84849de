"""Integer Haar lifting in scalar Python integers, from docs/contract.md §3.2: a part of
`tests/support/reference.py`."""

from __future__ import annotations

from collections.abc import Callable

Row = list[int]
Tensor = list[Row]


def lift(line: Row) -> tuple[Row, Row]:
    """One level on one line of integers: (s, d); an unpaired last value goes to s."""
    s, d = [], []
    for i in range(0, len(line) - 1, 2):
        a, b = line[i], line[i + 1]
        diff = b - a
        s.append(a + (diff >> 1))
        d.append(diff)
    if len(line) % 2:
        s.append(line[-1])
    return s, d


def unlift(s: Row, d: Row) -> Row:
    """Inverse of `lift`."""
    line = []
    for low, diff in zip(s, d, strict=False):
        a = low - (diff >> 1)
        line += [a, a + diff]
    return line + s[len(d):]


def forward_1d(line: Row, levels: int) -> Row:
    """`[s_L | d_L | … | d_1]` of one channel."""
    bands: list[Row] = []
    for _ in range(levels):
        line, d = lift(line)
        bands.insert(0, d)
    return line + [value for band in bands for value in band]


def inverse_1d(coefficients: Row, levels: int) -> Row:
    """The exact inverse of `forward_1d`."""
    lengths = [len(coefficients)]
    for _ in range(levels):
        lengths.append((lengths[-1] + 1) // 2)
    line = coefficients[: lengths[-1]]
    at = len(line)
    for length in reversed(lengths[:-1]):
        n_d = length - len(line)
        line = unlift(line, coefficients[at: at + n_d])
        at += n_d
    return line


def _transpose(image: Tensor, width: int) -> Tensor:
    """Columns of an image `width` wide, also when it has no rows."""
    return [[row[j] for row in image] for j in range(width)]


def _lift_rows(image: Tensor) -> tuple[Tensor, Tensor]:
    pairs = [lift(row) for row in image]
    return [s for s, _ in pairs], [d for _, d in pairs]


def _lift_columns(image: Tensor, width: int) -> tuple[Tensor, Tensor]:
    height = len(image)
    s, d = _lift_rows(_transpose(image, width))
    return _transpose(s, (height + 1) // 2), _transpose(d, height // 2)


def _flat(image: Tensor) -> Row:
    return [value for row in image for value in row]


def forward_2d(line: Row, height: int, width: int, levels: int) -> Row:
    """LL, then for each level from coarse to fine HL, LH, HH, each row by row, of one channel in raster order."""
    ll = [line[i * width: (i + 1) * width] for i in range(height)]
    details: Row = []
    for _ in range(levels):
        low, high = _lift_rows(ll)
        w = len(ll[0])
        ll, lh = _lift_columns(low, (w + 1) // 2)
        hl, hh = _lift_columns(high, w // 2)
        details = _flat(hl) + _flat(lh) + _flat(hh) + details
    return _flat(ll) + details


def inverse_2d(coefficients: Row, height: int, width: int, levels: int) -> Row:
    """The exact inverse of `forward_2d`: at each level the height, then the width."""
    sizes = [(height, width)]
    for _ in range(levels):
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    at = 0

    def take(rows: int, columns: int) -> Tensor:
        nonlocal at
        band = [coefficients[at + i * columns: at + (i + 1) * columns] for i in range(rows)]
        at += rows * columns
        return band

    ll = take(*sizes[-1])
    for h, w in reversed(sizes[:-1]):
        h_s, h_d, w_s, w_d = (h + 1) // 2, h // 2, (w + 1) // 2, w // 2
        hl, lh, hh = take(h_s, w_d), take(h_d, w_s), take(h_d, w_d)
        low = [unlift(s, d) for s, d in zip(_transpose(ll, w_s), _transpose(lh, w_s), strict=True)]
        high = [unlift(s, d) for s, d in zip(_transpose(hl, w_d), _transpose(hh, w_d), strict=True)]
        ll = [unlift([c[i] for c in low], [c[i] for c in high]) for i in range(h)]
    return _flat(ll)


def _channelwise(x: Tensor, function: Callable[[Row], Row]) -> Tensor:
    columns = [function([row[k] for row in x]) for k in range(len(x[0]))]
    return [[column[i] for column in columns] for i in range(len(x))]


def forward(x: Tensor, levels: int, grid: tuple[int, int] | None = None) -> Tensor:
    """Lifting of S tokens × K channels along the token axis."""
    if grid is None:
        return _channelwise(x, lambda line: forward_1d(line, levels))
    return _channelwise(x, lambda line: forward_2d(line, *grid, levels))


def inverse(c: Tensor, levels: int, grid: tuple[int, int] | None = None) -> Tensor:
    """Inverse lifting of S coefficients × K channels."""
    if grid is None:
        return _channelwise(c, lambda line: inverse_1d(line, levels))
    return _channelwise(c, lambda line: inverse_2d(line, *grid, levels))
