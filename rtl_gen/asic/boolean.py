"""Functions of a liberty file: `!`, `'`, `&`, `*`, a blank between operands, `^`, `|`, `+`, parentheses, 0 and 1."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from stamp_hw.errors import ConfigError

_TOKEN = re.compile(r"\s*([A-Za-z_][\w\[\]]*|[01()!'&*^|+])")
_AND, _OR = ("&", "*"), ("|", "+")


@dataclass(frozen=True, slots=True)
class Function:
    """`operator` of `operands`: "pin" (a name), "0", "1", "~", "&", "^" or "|"."""

    operator: str
    operands: tuple[Function, ...] = ()
    pin: str = ""

    def pins(self) -> tuple[str, ...]:
        """The pins that it is of, each once."""
        inner = (pin for operand in self.operands for pin in operand.pins())
        return (self.pin,) if self.pin else tuple(dict.fromkeys(inner))

    def verilog(self, nets: Mapping[str, str]) -> str:
        """A Verilog expression of one bit, in which each pin is what `nets` says."""
        if self.operator == "pin":
            return nets[self.pin]
        if self.operator in "01":
            return f"1'b{self.operator}"
        texts = [operand.verilog(nets) for operand in self.operands]
        return f"(~{texts[0]})" if self.operator == "~" else f"({f' {self.operator} '.join(texts)})"

    def value(self, pins: Mapping[str, bool]) -> bool:
        """What it is where the pins are so."""
        if self.operator == "pin":
            return pins[self.pin]
        if self.operator in "01":
            return self.operator == "1"
        bits = [operand.value(pins) for operand in self.operands]
        if self.operator == "~":
            return not bits[0]
        return {"&": all(bits), "|": any(bits), "^": sum(bits) % 2 == 1}[self.operator]


def assignments(pins: tuple[str, ...]) -> Iterator[dict[str, bool]]:
    """Every value of the pins."""
    for bits in product((False, True), repeat=len(pins)):
        yield dict(zip(pins, bits, strict=True))


def parse(text: str, where: str) -> Function:
    """A function from its text, `!` binding most, then `^`, and, or. Raises ConfigError, in which `where` names it."""
    tokens, place = [], 0
    stripped = text.strip()
    while place < len(stripped):
        found = _TOKEN.match(stripped, place)
        if found is None:
            raise ConfigError("no function", where=where, got=text, expected="pins and ! & ^ | ( )")
        tokens.append(found[1])
        place = found.end()
    rest = tokens[::-1]

    def operand() -> Function:
        token = rest.pop() if rest else ""
        if token == "!":
            return Function("~", (operand(),))
        if token == "(":
            found = either()
            if not rest or rest.pop() != ")":
                raise ConfigError("no function", where=where, got=text, expected=")")
        elif token in ("0", "1"):
            found = Function(token)
        elif token[:1].isalpha() or token[:1] == "_":
            found = Function("pin", pin=token)
        else:
            raise ConfigError("no function", where=where, got=text, expected="a pin, ! or (")
        while rest and rest[-1] == "'":
            rest.pop()
            found = Function("~", (found,))
        return found

    def differing() -> Function:
        found = operand()
        while rest and rest[-1] == "^":
            rest.pop()
            found = Function("^", (found, operand()))
        return found

    def both() -> Function:
        found = differing()
        while rest and rest[-1] not in (*_OR, ")"):
            if rest[-1] in _AND:
                rest.pop()
            found = Function("&", (found, differing()))
        return found

    def either() -> Function:
        found = both()
        while rest and rest[-1] in _OR:
            rest.pop()
            found = Function("|", (found, both()))
        return found

    whole = either()
    if rest:
        raise ConfigError("no function", where=where, got=text, expected="an operator")
    return whole
