"""What the vector unit does beside the array: operations a value, and cycles at so many lanes.

A lane does one operation a cycle. How many each function takes is *assumed*, counted from its formula with an
exponential, a reciprocal and a reciprocal root as one operation each (a table and its interpolation); a unit that needs
more for one of them is so many lanes less. Its energy is not modelled.
"""

from __future__ import annotations

#: Function → operations on each value.
PASSES = {
    "norm": 3,  # square and sum; multiply by the reciprocal root; multiply by the gain
    "rope": 3,  # two products and a sum
    "softmax": 4,  # maximum; difference; exponential and sum; multiply by the reciprocal
    "gate": 4,  # SiLU: exponential, sum, reciprocal times x; times the other branch
    "gelu": 4,  # a polynomial of two products, an exponential, a product
    "add": 1,  # a residual, or the sum of products over parts of K
    "modulate": 2,  # scale and shift of a norm's output
    "relu": 1,
    "depthwise": 9,  # a 3 x 3 filter a channel
}


def cycles(values: int, passes: int, lanes: int) -> int:
    """Cycles of `passes` operations on each value."""
    return -(-values // lanes) * passes
