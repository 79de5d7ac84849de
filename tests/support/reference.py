"""Second opinion on the numeric contract (docs/contract.md §3), in scalar Python integers.

Written from that section alone. It imports nothing from `stamp_hw`, no NumPy, and shares no idea with the golden
model except the words of the contract: where a formula there is a vector expression, here it is a loop over
integers that cannot overflow. Slow on purpose; use it on small tensors.

Data: a tensor is a list of rows, one row a token (or output channel), `int` everywhere after quantization. Floats
appear only where the contract has one (`s_x`, `s_y`, `s_w`, and the factor that `mant` and `shift` encode), and the
latter is computed in exact fractions of those floats.

Where §3 leaves room, this file chooses
---------------------------------------
 1. Default `levels` in 2-D: "half of that" is half of min(8, ceil(log2 …)), so at most 4. A quotient below 1
    (`n_hi` > S) gives 0 levels.
 2. Each 2-D level lifts the width of the current low band, then its height. An axis of length 1 passes, the other
    one still lifts; an unpaired last column (row) joins the low band. HL is d along the width and s along the height.
 3. 1-D order after `levels`: bands that are empty (extra levels) take no place.
 4. Groups are `G` consecutive channels; the last one holds what is left of K. A group of the whole token is no block.
 5. Symmetric mode: absmax, like lo and hi, is of the group; a group of zeros has span 0, q 0, code −mid.
 6. `T` of several groups is the sum of T_g.
 7. A sink is multiplied by 2^e in T before mant; its e is its own, not the layer's: the least at which its absmax,
    rounded to a code, is at most 32767, or 15 if none is.
 8. `T' = T` in symmetric mode, and mant/shift come from one table for each precision (qmax 254 and 14 in place of 255).
 9. mant = floor(f·2^sh + 1/2); a mant that rounds up to 2^16 becomes 2^15 with sh − 1; the legal range of sh is asked
    of the final sh.
10. Integers are unbounded here; §3's widths (48-bit T, 64-bit product, 28-bit inverse) are claims to be tested, not
    steps of the computation.
11. `rint` of a float is round half to even; INT16 inputs saturate; an all-zero tensor has scale 1, an all-zero
    channel of a weight that of the layer's largest channel.
12. A bias beyond INT32 is refused.
13. An input code is the nearest even integer of the quotient that a float64 holds; a weight code that of the exact
    quotient.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tests.support import reference_hadamard
from tests.support.reference_lifting import Row, Tensor, forward, inverse

# --- precision map (§3.3) --------------------------------------------------------------------------------------------


def default_n_hi(tokens: int) -> int:
    return (tokens + 31) // 32


def default_levels(tokens: int, n_hi: int, two_d: bool) -> int:
    levels = 0
    while max(n_hi, 1) << levels < tokens:
        levels += 1
    levels = min(8, levels)
    return (levels + 1) // 2 if two_d else levels


def bits_map(tokens: int, n_hi: int, n_sink: int = 0) -> Row:
    """Bits of every row of the coefficient array: sinks, then coefficients in order."""
    return [8] * n_sink + [8 if i < n_hi else 4 for i in range(tokens)]


# --- scale and quantizer (§3.4) --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """One group of one token after quantization; `codes` are the signed codes on the wires; `zero` is z of a block that
    has an integer zero, else None."""

    lo: int
    span: int
    qmax: int
    mid: int
    q: Row
    codes: Row
    zero: int | None = None


def quantize_block(c: Row, bits: int, rw: int, recip_frac: int = 8) -> Group:
    """§3.4 on the channels of a block in min-max mode: 0 is in its range and has a code."""
    lo, hi, qmax = min(0, *c), max(0, *c), 2**bits - 1
    span = hi - lo
    if span == 0:
        return Group(0, 0, qmax, (qmax + 1) >> 1, [0] * len(c), [0] * len(c), 0)
    assert span.bit_length() <= rw, "the range does not fit RW bits"
    lz, f = rw - span.bit_length(), rw + recip_frac
    m = span << lz
    recip = ((qmax << f) + (m >> 1)) // m

    def steps(value: int) -> int:
        size = ((abs(value) << lz) * recip + 2 ** (f - 1)) >> f
        return size if value >= 0 else -size

    zero = steps(-lo)
    q = [max(0, min(qmax, steps(value) + zero)) for value in c]
    return Group(lo, span, qmax, (qmax + 1) >> 1, q, [value - zero for value in q], zero)


def quantize_group(c: Row, bits: int, symmetric: bool, rw: int, recip_frac: int = 8) -> Group:
    """§3.4 on the channels of one group; `rw` is 17 in 1-D and 18 in 2-D, F is `recip_frac` more."""
    if symmetric:
        absmax = max(abs(value) for value in c)
        lo, hi, qmax = -absmax, absmax, 2**bits - 2
    else:
        lo, hi, qmax = min(c), max(c), 2**bits - 1
    span = hi - lo
    mid = (qmax + 1) >> 1
    if span == 0:
        q = [0] * len(c)
    else:
        assert span.bit_length() <= rw, "the range does not fit RW bits"
        lz = rw - span.bit_length()
        m = span << lz
        f = rw + recip_frac
        recip = ((qmax << f) + (m >> 1)) // m
        q = [(((value - lo) << lz) * recip + 2 ** (f - 1)) >> f for value in c]
    return Group(lo, span, qmax, mid, q, [value - mid for value in q])


def groups_of(channels: int, group: int | None) -> list[tuple[int, int]]:
    """(first, last + 1) channel of every group; `None` is one group a token."""
    size = group or channels
    return [(k, min(k + size, channels)) for k in range(0, channels, size)]


def quantize(c: Tensor, bits: Row, symmetric: bool, group: int | None, rw: int,
             recip_frac: int = 8) -> list[list[Group]]:
    """Groups of every token."""
    if group is not None and group < len(c[0]) and not symmetric:
        return [[quantize_block(row[a:b], token_bits, rw, recip_frac) for a, b in groups_of(len(row), group)]
                for row, token_bits in zip(c, bits, strict=True)]
    return [[quantize_group(row[a:b], token_bits, symmetric, rw, recip_frac) for a, b in groups_of(len(row), group)]
            for row, token_bits in zip(c, bits, strict=True)]


# --- product and rescale (§3.5, §3.6) --------------------------------------------------------------------------------


def dot(codes: Row, weights: Row) -> int:
    total = 0
    for a, w in zip(codes, weights, strict=True):
        total += a * w
    return total


def matmul(codes: Tensor, weights: Tensor) -> Tensor:
    """acc[S, N] of codes[S, K] and weights[N, K]."""
    return [[dot(row, channel) for channel in weights] for row in codes]


def dual_products(a1: int, a0: int, w: int) -> tuple[int, int]:
    """(high, low) product of one PE in INT4 mode, read out of one 17 × 8 product."""
    p = (a1 * 2**12 + a0) * w
    low = p & 0xFFF
    low -= (low & 0x800) << 1
    return (p >> 12) + ((p >> 11) & 1), low


def affine(acc: int, wsum: int, lo: int, span: int, qmax: int, mid: int, symmetric: bool) -> int:
    """T of one group: qmax times the exact Σ c·w of the dequantized coefficients."""
    if symmetric:
        return span * acc
    return span * (acc + mid * wsum) + qmax * lo * wsum


def t_value(codes: Row, groups: list[Group], weights: Row, size: int, symmetric: bool, e: int = 0) -> int:
    """T' of one token and output channel from groups of `size` channels, the sink's shift included."""
    total = 0
    for part, (a, b) in zip(groups, groups_of(len(weights), size), strict=True):
        w = weights[a:b]
        acc = dot(codes[a:b], w)
        total += part.span * acc if part.zero is not None else affine(
            acc, sum(w), part.lo, part.span, part.qmax, part.mid, symmetric)
    if not symmetric and groups[0].qmax == 15:
        total *= 17
    return total << e


def saturate(value: int, bits: int) -> int:
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, value))


def rescale(t: int, mant: int, shift: int) -> int:
    """z: an output coefficient with 4 fractional bits, in 24."""
    return saturate((t * mant + 2 ** (shift - 1)) >> shift, 24)


def multiplier(factor: Fraction | float) -> tuple[int, int]:
    """(mant, shift) ≈ factor, mant in [2^15, 2^16); ValueError when shift leaves 1…63."""
    exact = Fraction(factor)
    if exact <= 0:
        raise ValueError("the factor is not positive")
    shift = 0
    while exact * Fraction(2) ** shift < 2**15:
        shift += 1
    while exact * Fraction(2) ** shift >= 2**16:
        shift -= 1
    scaled = exact * Fraction(2) ** shift + Fraction(1, 2)
    mant = scaled.numerator // scaled.denominator
    if mant == 2**16:
        mant, shift = 2**15, shift - 1
    if not 1 <= shift <= 63:
        raise ValueError(f"shift {shift} is outside 1…63")
    return mant, shift


def factor(s_x: float, s_w: float, s_y: float, bits: int, symmetric: bool) -> Fraction:
    """What mant·2^−shift stands for; T' of a 4-bit min-max token already holds 17, so 255 serves both."""
    qmax = 2**bits - 2 if symmetric else 255
    return 16 * Fraction(s_x) * Fraction(s_w) / (qmax * Fraction(s_y))


def output(v: int, bias: int, frac: int = 4) -> int:
    """INT16 output of one inverse-lifted coefficient `v` (`frac` fractional bits) and a bias in units of s_y."""
    half = 2 ** (frac - 1) if frac else 0
    return saturate((v + (bias << frac) + half) >> frac, 16)


# --- float edges (§3.1) ----------------------------------------------------------------------------------------------


def absmax_scale(rows: list[list[float]], top: int) -> float:
    absmax = max(abs(value) for row in rows for value in row)
    return absmax / top if absmax else 1.0


def quantize_input(row: list[float], scale: float) -> Row:
    return [saturate(round(value / scale), 16) for value in row]


def sink_exponent(row: list[float], s_x: float) -> int:
    absmax = max(abs(value) for value in row)
    return next((e for e in range(16) if round(absmax / (s_x * 2.0**e)) <= 32767), 15)


def mixed_exponent(row: list[float], s_x: float, block: int, shift: int) -> int:
    """The smallest e at which neither a code saturates nor, behind a Hadamard unit, its transform."""
    for e in range(sink_exponent(row, s_x), 15):
        if not reference_hadamard.transform(quantize_input(row, s_x * 2.0**e), block, shift, 16)[1]:
            return e
    return 15


def quantize_weight(row: list[float], bits: int, largest: float = 0.0) -> tuple[Row, float]:
    """Symmetric codes of one output channel and its s_w; `largest` is the layer's absmax."""
    top = 2 ** (bits - 1) - 1
    absmax = max(abs(value) for value in row)
    if absmax < 2.0**-100:
        absmax = largest if largest >= 2.0**-100 else float(top)
    step = Fraction(absmax) / top
    return [round(Fraction(value) / step) for value in row], absmax / top


def expand_weight(q: int, u: int, z: int) -> int:
    """A 4-bit weight of a group, as the array multiplies by it."""
    return saturate(u * (q - z), 8)


def integer_bias(value: float, s_y: float) -> int:
    code = round(value / s_y)
    if saturate(code, 32) != code:
        raise ValueError("the bias does not fit INT32")
    return code


# --- outlier tokens --------------------------------------------------------------------------------------------------

def filler(place: int, tokens: int, outliers: tuple[int, ...]) -> int:
    """The token whose values stand at a place of the sequence."""
    if place not in outliers:
        return place
    partner = place + 1 if place % 2 == 0 else place - 1
    if partner < tokens and partner not in outliers:
        return partner
    for distance in range(1, tokens):
        for near in (place - distance, place + distance):
            if 0 <= near < tokens and near not in outliers:
                return near
    return place


# --- the whole linear layer ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Linear:
    """Every stage of one layer; rows are the sinks, then the coefficients (`y`: then the tokens).

    `acc[token][group][channel]`; `t` is T' with the sink's shift; `s_w` and `weights` per output channel.
    """

    y: Tensor
    coefficients: Tensor
    groups: list[list[Group]]
    codes: Tensor
    acc: list[Tensor]
    t: Tensor
    z: Tensor
    exponents: Row
    weights: Tensor


def run_linear(x: list[list[float]], weight: list[list[float]], bias: list[float] | None, *, s_x: float, s_y: float,
               levels: int, n_hi: int, weight_bits: int, grid: tuple[int, int] | None = None, n_sink: int = 0,
               symmetric: bool = False, group: int | None = None, ready: list[tuple[Row, float]] | None = None,
               hadamard: tuple[int, int] | None = None) -> Linear:
    """Float tensors in, the INT16 output and every stage before it out; `ready` codes and s_w of each channel stand for
    the weights, if given; `hadamard`: (block, shift) of the unit. Folded weights must be floats of 32 bits, then their
    rounding does not matter."""
    body = x[n_sink:]
    sinks = [sink_exponent(row, s_x) if hadamard is None else mixed_exponent(row, s_x, *hadamard) for row in x[:n_sink]]
    exponents = sinks + [0] * len(body)
    codes_in = [quantize_input(row, s_x * 2.0**e) for row, e in zip(x, exponents, strict=True)]
    if hadamard is not None:
        codes_in = [reference_hadamard.transform(row, *hadamard, 16)[0] for row in codes_in]
        weight = [[float(value) for value in reference_hadamard.fold([Fraction(value) for value in row], hadamard[0])]
                  for row in weight]
        s_x *= 2.0 ** hadamard[1]
    coefficients = codes_in[:n_sink] + forward(codes_in[n_sink:], levels, grid)
    bits = bits_map(len(body), n_hi, n_sink)
    groups = quantize(coefficients, bits, symmetric, group, 17 if grid is None else 18)
    codes = [[a for part in parts for a in part.codes] for parts in groups]
    largest = max(abs(value) for row in weight for value in row)
    channels = ready or [quantize_weight(row, weight_bits, largest) for row in weight]
    size = min(group or len(codes_in[0]), len(codes_in[0]))
    acc = [[[dot(row[a:b], w[a:b]) for w, _ in channels] for a, b in groups_of(len(row), size)] for row in codes]
    t = [[t_value(row, parts, w, size, symmetric, e) for w, _ in channels]
         for row, parts, e in zip(codes, groups, exponents, strict=True)]
    # Both tables are loaded, whether the job has tokens for both or not.
    tables = {b: [multiplier(factor(s_x, s_w, s_y, b, symmetric)) for _, s_w in channels] for b in (8, 4)}
    z = [[rescale(value, *tables[b][n]) for n, value in enumerate(row)] for row, b in zip(t, bits, strict=True)]
    v = z[:n_sink] + inverse(z[n_sink:], levels, grid)
    b_codes = [integer_bias(value, s_y) for value in bias] if bias else [0] * len(weight)
    y = [[output(value, b_codes[n]) for n, value in enumerate(row)] for row in v]
    return Linear(y, coefficients, groups, codes, acc, t, z, exponents, [w for w, _ in channels])
