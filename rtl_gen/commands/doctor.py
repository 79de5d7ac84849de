"""`stamp-hw doctor`: every external tool, found or not, its version, and the one command that installs it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from stamp_hw.text import WIDTH


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "List every tool, found or not, its version, what it is needed for and the command that "
        "installs it. Exit code 2 if one is missing that `make demo` needs; parts that one may do "
        "without change nothing.")
    parser.set_defaults(run=lambda _: run())


def run() -> int:
    """Print the table; 0 when everything that is required was found, otherwise 2."""
    from rtl_gen.toolchain import tools

    found = tools()
    states = [tool.version if tool.found else "NOT FOUND" if tool.required else "not found" for tool in found]
    width, wide = max(len(tool.name) for tool in found), max(map(len, states))
    for tool, state in zip(found, states, strict=True):
        where, start = tool.path if tool.found else tool.install, f"{tool.name:{width}}  {state:<{wide}}"
        print(f"{start}  {where}" if len(f"{start}  {where}") <= WIDTH else f"{start.rstrip()}\n    {where}")
        if tool.note:
            print(f"    {tool.note}")
    missing = sorted((tool for tool in found if not tool.found), key=lambda tool: not tool.required)
    for tool in missing:
        kind = "missing" if tool.required else "optional, not found"
        way = f"`{tool.target}`, or by hand `{tool.install}`" if tool.target else f"`{tool.install}`"
        print(f"{kind}: {tool.name}, needed for {tool.needed_for}\n    {way}")
    lacking = [tool for tool in missing if tool.required]
    print("every tool was found" if not missing else
          _list("required and missing: ", [tool.name for tool in lacking]) if lacking else
          "all that `make demo` needs was found; the optional parts are for the commands named above")
    return 2 if lacking else 0


def _list(title: str, names: Sequence[str]) -> str:
    return textwrap.fill(title + ", ".join(names), WIDTH, subsequent_indent="    ", break_on_hyphens=False)
