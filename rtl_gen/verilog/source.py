"""Reasons from the Python source: which comment explains the line that made a statement."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

PACKAGE = str(Path(__file__).resolve().parents[1])
WIDTH = 112


@dataclass(frozen=True, slots=True)
class Region:
    """Lines `first` to `last` of a file, which `text` explains."""

    first: int
    last: int
    text: str


@cache
def regions(file: str) -> tuple[Region, ...]:
    """The explained regions of a Python file, larger ones first: a method with a docstring, and a paragraph under a
    comment, up to a blank line, the next comment or the end of the block."""
    text = Path(file).read_text("utf-8")
    lines = text.splitlines()
    found = [Region(node.lineno, node.end_lineno or node.lineno, _docstring(node))
             for node in ast.walk(ast.parse(text))
             if isinstance(node, ast.FunctionDef) and node.name.startswith("_") and _docstring(node)]
    number = 0
    while number < len(lines):
        if not lines[number].lstrip().startswith("# ") or lines[number].startswith("#"):
            number += 1
            continue
        indent = len(lines[number]) - len(lines[number].lstrip())
        comment = []
        while number < len(lines) and lines[number].lstrip().startswith("# "):
            comment.append(lines[number].lstrip().removeprefix("# "))
            number += 1
        first = number
        while number < len(lines) and lines[number].strip() and not lines[number].lstrip().startswith("# ") and (
                len(lines[number]) - len(lines[number].lstrip()) >= indent):
            number += 1
        found.append(Region(first + 1, number, " ".join(comment)))
    return tuple(sorted(found, key=lambda region: (region.last - region.first), reverse=True))


def _docstring(node: ast.FunctionDef) -> str:
    text = ast.get_docstring(node) or ""
    return " ".join(text.partition("\n\n")[0].split())


@cache
def _results(file: str) -> tuple[tuple[int, int, str], ...]:
    """(first line, last line, function) of what the functions of a file return, those of its classes left out."""
    tree = ast.parse(Path(file).read_text("utf-8"))
    return tuple((node.lineno, node.end_lineno or node.lineno, function.name) for function in tree.body
                 if isinstance(function, ast.FunctionDef)
                 for node in ast.walk(function) if isinstance(node, ast.Return))


def function_at(location: tuple[str, int] | None) -> str:
    """The function of this package that returns what a line makes, or nothing."""
    if location is None or not location[0].startswith(PACKAGE):
        return ""
    return next((name for first, last, name in _results(location[0]) if first <= location[1] <= last), "")


def files(component: Any) -> tuple[str, ...]:
    """The files of a component's class and of what it inherits that is not Amaranth's, the base first."""
    classes = [each for each in type(component).__mro__ if not each.__module__.startswith(("amaranth.", "builtins"))]
    return tuple(dict.fromkeys(inspect.getfile(each) for each in reversed(classes)))


def reason(location: tuple[str, int] | None, own: tuple[str, ...]) -> str:
    """What explains a line of one of the files `own`: the innermost region's text, or nothing."""
    if location is None or location[0] not in own:
        return ""
    text = ""
    for region in regions(location[0]):
        if region.first <= location[1] <= region.last:
            text = region.text
    return text


def head(component: Any) -> str:
    """What the docstrings say of a component: its module's, where that has no other component, and its class's."""
    if component is None:
        return ""
    kind = type(component)
    module = inspect.getmodule(kind)
    alone = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == kind.__module__
             and issubclass(each, wiring.Component)] == [kind]
    parts = [inspect.getdoc(module) or ""] if alone else []
    parts.append(inspect.cleandoc(kind.__doc__ or ""))
    text = "\n\n".join(part.strip() for part in parts if part.strip())
    return "".join(_comment_lines(text))


def _comment_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"// {_plain(line)}".rstrip() + "\n"


def _plain(text: str) -> str:
    """Python's marks of code are left out: the text now stands beside the code."""
    return re.sub(r"`([^`]*)`", r"\1", text)


def comment(text: str, indent: str = "  ") -> str:
    """Comment lines of a reason."""
    return "".join(f"{line}\n" for line in textwrap.wrap(_plain(text), WIDTH, initial_indent=f"{indent}// ",
                                                         subsequent_indent=f"{indent}// "))
