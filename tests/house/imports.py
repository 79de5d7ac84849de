"""Every module of the product, and what each imports, read from its source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("stamp_hw", "rtl_gen", "sim", "tb", "models")


@functools.cache
def modules() -> Mapping[str, Path]:
    """Dotted name → file; a package's name is that of its `__init__.py`."""
    files = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


@functools.cache
def imported(name: str) -> frozenset[str]:
    """What a module imports, inside functions too: modules of the product by their whole name, others by their first
    word. Names that only type checkers see count as well."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {_known(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            found |= {_known(f"{node.module}.{alias.name}") for alias in node.names}
    return frozenset(found - {name})


def _known(dotted: str) -> str:
    """The longest module of the product that a name begins with, or its first word."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in modules():
            return name
    return parts[0]


def package(name: str) -> str:
    return name.partition(".")[0]


def folder(name: str) -> str:
    """The folder below its package that a module is in; the package itself for a module that is in none."""
    return ".".join(modules()[name].relative_to(ROOT).parent.parts[:2])


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Some names that lead from one to the next and back to the first; none if there is no such circle."""
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name):], name]
        if name in done:
            return []
        for after in sorted(arrows.get(name, ())):
            if found := follow(after, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := follow(name, []))), [])
