"""Command-line arguments that are wrong end in one line, like any other bad input."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from stamp_hw import rooms
from stamp_hw.errors import clip, printable

_LIMIT = 400  # characters of a message
_WHOLE = re.compile(r"[+-]?[0-9]+")  # what is out of range, the command says
_DIGITS = 99  # of a whole number
_OPTION = re.compile(r"--?[A-Za-z]\S*")  # a word that argparse takes for an option, whether there is such a one or not
T = TypeVar("T")


def _path(text: str) -> Path:
    """A path; the empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("a path is expected, not an empty text")
    return Path(text)


def whole(text: str, expected: str = "a whole number") -> int:
    """A whole number in decimal digits: no `1_0`, no other scripts, as Python's `int` would take."""
    if not _WHOLE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{expected} is expected, not {text[:80]!r}")
    if len(text) > _DIGITS:
        raise argparse.ArgumentTypeError(f"{expected} of at most {_DIGITS} digits is expected, not one of "
                                         f"{len(text):,}")
    return int(text)


def runs(parser: argparse.ArgumentParser, options: type[T], run: Callable[[T], int]) -> None:
    """Make `run` what the parser's command does; it gets its options as the dataclass `options`."""
    parser.set_defaults(run=lambda found: run(taken(options, found)))


def taken(options: type[T], found: argparse.Namespace) -> T:
    """A dataclass of the options that its fields name."""
    return options(**{field.name: getattr(found, field.name) for field in fields(options)})  # type: ignore[arg-type]


class _Once(argparse._StoreAction):
    """The action that stores a value; argparse's own forgets an earlier one of the same option without a word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        """Store; an error if this option was given before."""
        given = namespace.__dict__.setdefault("_given", set())
        if self.option_strings and self.dest in given:
            raise argparse.ArgumentError(self, "given twice; this option takes one value")
        given.add(self.dest)
        super().__call__(parser, namespace, values, option_string)


def like(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for a word that is nearly a known one, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class Parser(argparse.ArgumentParser):
    """argparse's parser without the usage text in front of an error, and without options of which the last wins;
    sub-commands are of the same kind."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)
        self.register("type", Path, _path)
        self.register("type", int, whole)
        self._module: str | None = None
        self._words: dict[str, Parser] = {}
        self._meant: dict[str, str] = {}  # option → the word that it stands for where there is none

    def options_of(self, module: str) -> None:
        """Add what that module's `add_options` adds, once this parser has something to parse."""
        self._module = module

    def add_word(self, word: str, module: str, option: str | None = None) -> None:
        """What follows `word`, given first, is for that module's options, and none of it for this parser's own; so is a
        line that begins with no word and holds `option`."""
        self._words[word] = Parser(prog=f"{self.prog} {word}")
        self._words[word].options_of(module)
        if option is not None:
            self._meant[option] = word

    def words(self) -> dict[str, Parser]:
        """The words of `add_word`, each with its options."""
        for parser in self._words.values():
            parser._load()
        return self._words

    def _load(self) -> None:
        if self._module is not None:
            module, self._module = self._module, None
            rooms.load(module).add_options(self)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: {printable(clip(message, _LIMIT))}; see {self.prog} --help\n")

    def parse_known_args(self, args: Sequence[str] | None = None,  # type: ignore[override]
                         namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, but a sub-command refuses what it does not know itself, so that its own help is named."""
        self._load()
        if args and args[0] in self._words:
            return self._words[args[0]].parse_known_args(args[1:], namespace)
        for option, word in self._meant.items():
            if any(one.partition("=")[0] == option for one in args or ()):
                return self._words[word].parse_known_args(args, namespace)
        if self._subparsers is None:
            self._check_options(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            first = unknown[0].partition("=")[0]
            if first in self._words:
                self.error(f"{first} stands behind an option; it comes first: {self.prog} {first} …")
            known = self._option_string_actions if first.startswith("-") else self._words
            self.error(f"unrecognized arguments: {' '.join(unknown)}{like(first, known)}")
        return found, unknown

    def _check_options(self, words: Sequence[str]) -> None:
        """An error for an option that there is none of, before argparse takes the word behind it for something else."""
        words = words[:words.index("--")] if "--" in words else words
        known = self._option_string_actions
        names = [word.partition("=")[0] for word in words if _OPTION.fullmatch(word)]
        strange = [name for name in names if name[:2] not in known and not any(one.startswith(name) for one in known)]
        if strange and not {"-h", "--help"} & set(names):
            self.error(f"unrecognized arguments: {' '.join(strange)}{like(strange[0], known)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's; a word that is nearly one of the choices is followed by that one."""
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near = like(str(value), choices) or f" (choose from {', '.join(choices)})"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{near}")
