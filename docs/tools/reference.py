"""The reference that is read off the program: docs/reference/*.md but registers.md (`python -m docs.tools.reference`).

Options come from the parsers themselves, names from what `stamp_hw` hands on, so that neither page can say anything
else than the program does.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from docs.tools.results import ROOT
from docs.tools.write import write
from stamp_hw import rooms
from stamp_hw.cli import arguments
from stamp_hw.cli.commands import COMMANDS
from stamp_hw.config import HW_RANGES, HwConfig, JobConfig

REFERENCE = ROOT / "docs" / "reference"
#: Modules whose public names a user imports.
MODULES = ("stamp_hw", "stamp_hw.blocks", "stamp_hw.torch")


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(name, parser) of every command, and behind it of each of its own commands."""
    for name, command in COMMANDS.items():
        parser = arguments.Parser(prog=f"stamp-hw {name}")
        rooms.load(command.module).add_options(parser)
        yield name, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from ((f"{name} {inner}", sub) for inner, sub in action.choices.items())
        yield from ((f"{name} {word}", sub) for word, sub in parser.words().items())


def row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """A line of a command's table: how the option is written, and what it says."""
    value = action.metavar or action.dest.upper()
    value = " ".join(value) if isinstance(value, tuple) else value
    named = ", ".join(action.option_strings)
    written = " ".join(filter(None, [named, "" if action.option_strings and action.nargs == 0 else value]))
    says = (action.help or "") % {**vars(action), "prog": parser.prog}
    return f"| `{written}` | {cell(says)} |"


def cell(says: str) -> str:
    return re.sub(r"\s+", " ", says).replace("|", "\\|").replace("<", "&lt;")


def commands() -> str:
    """The page of the command line."""
    parts = ["# Commands", "",
             "Written by `make docs` from the program's own parsers; `stamp-hw COMMAND --help` says the same.",
             "[Exit codes](../verify.md#exit-codes) are the same for all.", ""]
    parts += ["| command | what it does |", "|---|---|"]
    parts += [f"| [`stamp-hw {name}`](#stamp-hw-{name}) | {command.help} |" for name, command in COMMANDS.items()]
    for name, parser in parsers():
        actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)
                   and not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS]
        parts += ["", f"## `stamp-hw {name}`", ""]
        lines = (parser.description or "").splitlines()
        words = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
        parts += [*(f"- `{word}`: {says}" for word, says in words), *([""] if words else [])]
        parts += [cell("\n".join(line for line in lines if not line.startswith("  ")))]
        if actions:
            parts += ["", "| option | meaning |", "|---|---|", *(row(parser, action) for action in actions)]
    return "\n".join([*parts, ""])


def public(module: ModuleType) -> list[str]:
    """The names that a module hands on: `__all__`, or else the classes and functions that are its own."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("__")]
    return [name for name, value in vars(module).items()
            if not name.startswith("_") and inspect.isclass(value) and value.__module__ == module.__name__]


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class defines or inherits from a class of ours, with a docstring."""
    for name, member in inspect.getmembers(value):
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
            owner = next((base for base in value.__mro__ if name in vars(base)), None)
            if owner is not None and owner.__module__.startswith("stamp_hw") and inspect.getdoc(member):
                yield name, member


def signature(value: Any) -> str:
    """Arguments and result; nothing where Python does not know them."""
    try:
        return str(inspect.signature(value)).replace("'", "")
    except (TypeError, ValueError):
        return ""


def entry(title: str, value: Any) -> list[str]:
    """A heading, the signature, and the docstring as it stands in the source."""
    lines = ["", title, ""]
    if not isinstance(value, property):
        lines += ["```text", f"{value.__name__}{signature(value)}", "```", ""]
    return [*lines, "```text", inspect.cleandoc(inspect.getdoc(value) or ""), "```"]


def api() -> str:
    """The page of the Python interface."""
    parts = ["# Python interface", "",
             "Written by `make docs` from the docstrings. What is not on this page may change without notice."]
    for name in MODULES:
        module = importlib.import_module(name)
        parts += ["", f"## `{name}`", "", "```text", inspect.cleandoc(module.__doc__ or ""), "```"]
        for public_name in public(module):
            value = getattr(module, public_name)
            if not (inspect.isclass(value) or inspect.isroutine(value)):
                continue
            parts += entry(f"### `{public_name}`", value)
            if inspect.isclass(value):
                for member_name, member in members(value):
                    parts += entry(f"#### `{public_name}.{member_name}`", member)
    return "\n".join([*parts, ""])


def meanings(section: type) -> dict[str, str]:
    """Key → what the section's docstring says of it."""
    text = inspect.cleandoc(section.__doc__ or "").split("----------\n", 1)[1]
    found: dict[str, str] = {}
    for names, says in re.findall(r"^(\w[\w, ]*) : (.*(?:\n .*)*)", text, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), re.sub(r"\s+", " ", says))
    return found


def configuration() -> str:
    """The page of the configuration's keys."""
    parts = ["# Configuration", "",
             "Written by `make docs` from `stamp_hw/config.py`. A configuration is a YAML file of the sections below.",
             "A key left out takes its default, as `configs/default.yaml` has it; one that is unknown is an error.",
             "On the command line `--hw KEY=VALUE` and `--job KEY=VALUE` change one value.", "",
             "`stamp-hw simulate --shape 64x64x64 --config MINE.yaml` says in a second what is wrong with a file;",
             "`stamp-hw verify --config MINE.yaml` holds its RTL to the golden model (minutes)."]
    for name, section, says in (("hw", HwConfig, "The hardware that is generated."),
                                ("job", JobConfig, "What the job registers hold, for every layer.")):
        parts += ["", f"## `{name}`", "", says, "", "| key | default | range | meaning |", "|---|---|---|---|"]
        for key, meaning in meanings(section).items():
            default = json.dumps(getattr(section(), key)).strip('"')
            low_high = "{}…{}".format(*HW_RANGES[key]) if name == "hw" and key in HW_RANGES else ""
            parts.append(f"| `{key}` | {default} | {low_high} | {cell(meaning)} |")
    parts += ["", "## `kinds`", "",
              "A kind of layers (`q_proj`, …, as `stamp-hw trace info` lists them) → keys of `job` that layers of this",
              "kind have values of their own for. `stamp-hw tune` writes this section.", ""]
    return "\n".join(parts)


PAGES = {"commands.md": commands, "api.md": api, "configuration.md": configuration}


if __name__ == "__main__":
    write({REFERENCE / name: page() for name, page in PAGES.items()})
