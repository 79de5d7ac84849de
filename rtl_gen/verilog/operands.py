"""Widths in the RTLIL that Amaranth writes, made explicit, so that the Verilog neither extends nor drops bits silently.

Amaranth gives `a + b` operands of their own widths and a result with a carry. Verilog would extend the narrower
operand, rightly but without saying so, which is what lint objects to: here the extension becomes part of the text,
zeros or copies of the sign bit. A result whose upper bits nobody reads loses them, as far as its operands allow.
"""

from __future__ import annotations

import re

_BALANCED = ("add", "sub", "and", "or", "xor", "lt", "le", "gt", "ge", "eq", "ne")  # both operands, to the wider one
_SHIFTED = ("shl", "shr", "sshr")  # the first operand, to the result
_NARROWED = ("add", "sub", "mul")
_RESULT = re.compile(rf"^  cell \$(?:{'|'.join(_NARROWED)}) \$\d+\n(?:    .*\n)*?    connect \\Y (\$\d+)\n  end\n",
                     re.MULTILINE)
_CELL = re.compile(rf"^  cell \$({'|'.join(_BALANCED + _SHIFTED)}) \$\d+\n(?:    .*\n)*?  end\n", re.MULTILINE)
_PARAMETER = re.compile(r"^    parameter \\(\w+) (\d+)\n", re.MULTILINE)
_CONNECT = re.compile(r"^    connect \\([ABY]) (.*)\n", re.MULTILINE)
_WIRE = re.compile(r"^  wire width (\d+) .*?(\S+)\n", re.MULTILINE)
_MODULE = re.compile(r"^module .*?^end\n", re.MULTILINE | re.DOTALL)
_CONSTANT = re.compile(r"\d+'([01xz-]+)")
_FIRST = re.compile(r"\{ ?(\d+'\S+|\S+(?: \[[\d:]+\])?)")


def explicit(rtlil: str) -> str:
    """The same design with explicit widths."""
    return _MODULE.sub(lambda module: _balanced(_narrowed(module[0])), rtlil)


def _narrowed(text: str) -> str:
    """Without the upper bits that nobody reads of sums and products, down to the wider operand."""
    used: dict[str, int] = {}
    read = re.sub(r"^(?:    connect \\Y|  wire) .*\n", "", text, flags=re.MULTILINE)
    for name, high in re.findall(r" (\$\d+)(?: \[(\d+)(?::\d+)?\])?", read):
        used[name] = max(used.get(name, 0), int(high) + 1 if high else 1 << 30)
    widths: dict[str, int] = {}

    def cell(match: re.Match[str]) -> str:
        body, name = match[0], match[1]
        parameters = {key: int(value) for key, value in _PARAMETER.findall(body)}
        width = max(parameters["A_WIDTH"], parameters["B_WIDTH"], used.get(name, 0))
        if width >= parameters["Y_WIDTH"]:
            return body
        widths[name] = width
        return body.replace(f"\\Y_WIDTH {parameters['Y_WIDTH']}\n", f"\\Y_WIDTH {width}\n")

    text = _RESULT.sub(cell, text)

    def wire(match: re.Match[str]) -> str:
        return f"  wire width {widths[match[2]]} {match[1]}{match[2]}" if match[2] in widths else match[0]

    return re.sub(r"^  wire width \d+ ((?:signed )?)(\$\d+)$", wire, text, flags=re.MULTILINE)


def _balanced(text: str) -> str:
    """With every operand of an adder, comparison, logic operator or shift as wide as it is used."""
    wires = {name: int(width) for width, name in _WIRE.findall(text)}

    def cell(match: re.Match[str]) -> str:
        kind, body = match[1], match[0]
        parameters = {name: int(value) for name, value in _PARAMETER.findall(body)}
        operands = dict(_CONNECT.findall(body))
        if kind in _BALANCED:
            wanted = dict.fromkeys("AB", max(parameters["A_WIDTH"], parameters["B_WIDTH"]))
        else:
            wanted = {"A": max(parameters["A_WIDTH"], parameters["Y_WIDTH"])}
        for port, width in wanted.items():
            own = parameters[f"{port}_WIDTH"]
            if own < width:
                wide = _extended(operands[port], own, width, bool(parameters[f"{port}_SIGNED"]), wires)
                body = body.replace(f"    connect \\{port} {operands[port]}\n", f"    connect \\{port} {wide}\n")
                body = body.replace(f"    parameter \\{port}_WIDTH {own}\n", f"    parameter \\{port}_WIDTH {width}\n")
        return body

    return _CELL.sub(cell, text)


def _extended(operand: str, own: int, width: int, signed: bool, wires: dict[str, int]) -> str:
    """`operand` of `own` bits in `width` bits."""
    constant = _CONSTANT.fullmatch(operand)
    if constant:
        sign = constant[1][0] if signed else "0"
        return f"{width}'{sign * (width - own)}{constant[1]}"
    if not signed:
        return f"{{ {width - own}'{'0' * (width - own)} {operand} }}"
    return f"{{ {' '.join([_sign(operand, own, wires)] * (width - own))} {operand} }}"


def _sign(operand: str, own: int, wires: dict[str, int]) -> str:
    """The highest bit of an operand: of a concatenation that of its first part."""
    if operand.startswith("{"):
        first = _FIRST.match(operand)
        if first is None:
            raise ValueError(f"not an RTLIL signal: {operand}")
        constant = _CONSTANT.fullmatch(first[1])
        if constant:
            return f"1'{constant[1][0]}"
        return _sign(first[1], wires.get(first[1], 1), wires)
    name, _, place = operand.partition(" ")
    return f"{name} [{place.strip('[]').split(':')[0] if place else own - 1}]"
