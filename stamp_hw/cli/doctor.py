"""`stamp-hw doctor`: every external tool, found or not, its version, and the one command that installs it."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("doctor", help="list the tools, found or not, and what installs them",
                                   description="List every tool, found or not, its version, and the command that "
                                               "installs it. Exit code 1 if one that `make test` needs is missing.")
    parser.set_defaults(run=run)


def run(_args: argparse.Namespace) -> int:
    """Print the table; 0 when everything that `make test` needs was found, otherwise 1."""
    from rtl_gen.toolchain import TEST, tools

    found = tools()
    width = max(len(tool.name) for tool in found)
    for tool in found:
        state = tool.version if tool.found else "NOT FOUND"
        print(f"{tool.name:{width}}  {state:<24}  {tool.path if tool.found else tool.install}")
        if tool.note:
            print(f"{'':{width}}  {tool.note}")
    missing = [tool for tool in found if not tool.found]
    for tool in missing:
        print(f"missing: {tool.name}, needed for {tool.needed_for}: {tool.install}")
    if not missing:
        print("every tool was found")
    return int(any(tool.needed_for.startswith(TEST) for tool in missing))
