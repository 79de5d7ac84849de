"""Reader of liberty files: groups, their attributes and tables. Source: Liberty reference manual, 2017.06, chapter 1.

Only the grammar is known here; which attributes a library must have is `rtl_gen.asic.library`'s to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from stamp_hw.errors import ConfigError

_TOKEN = re.compile(r'\s+|/\*.*?\*/|//[^\n]*|\\\r?\n|(?P<string>"[^"]*")|(?P<word>[^\s"{}();:,]+)|(?P<mark>[{}();:,])',
                    re.DOTALL)


@dataclass(slots=True)
class Group:
    """`kind (names) { … }`: `attributes` name → text, the last one where it stands twice; `complex` name → the values
    of `name (value, …)`; `groups` in their order."""

    kind: str
    names: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    complex: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.names[0] if self.names else ""

    def of_kind(self, *kinds: str) -> list[Group]:
        return [group for group in self.groups if group.kind in kinds]


def parse(text: str, where: str) -> Group:
    """The one `library` group of a file. Raises ConfigError, in which `where` names the file."""
    reader = _Reader(text, where)
    top = reader.statement()
    if not isinstance(top, Group) or top.kind != "library":
        raise ConfigError("not a liberty file", where=where, got=text[:40], expected="library (name) { … }")
    return top


class _Reader:
    """Tokens of a text, one ahead."""

    def __init__(self, text: str, where: str) -> None:
        self._text, self._where = text, where
        self._tokens = self._scan()
        self._place = 0
        self._now = next(self._tokens, "")

    def _scan(self) -> Iterator[str]:
        place = 0
        while place < len(self._text):
            found = _TOKEN.match(self._text, place)
            if found is None:
                raise self._wrong(self._text[place : place + 20], place)
            self._place, place = place, found.end()
            if found.lastgroup:
                yield found[0]
        self._place = place

    def _wrong(self, got: str, place: int | None = None, expected: str = "") -> ConfigError:
        line = self._text.count("\n", 0, self._place if place is None else place) + 1
        return ConfigError("cannot be read as liberty", where=f"{self._where}:{line}", got=got or "the end of the file",
                           expected=expected)

    def _take(self, mark: str = "") -> str:
        token = self._now
        if not token or (mark and token != mark):
            raise self._wrong(token, expected=mark or "a name")
        self._now = next(self._tokens, "")
        return token

    def statement(self, into: Group | None = None) -> Group | None:
        """One attribute, into its group, or a group, which is returned."""
        name = self._take()
        if self._now == ":":
            self._take()
            words = [self._take()]
            while self._now not in (";", "}", ""):
                if self._now == ":" or self._now == "{":
                    raise self._wrong(self._now, expected=";")
                words.append(self._take())
            if into is not None:
                into.attributes[name] = " ".join(words).strip('"')
        elif self._now == "(":
            values = self._values()
            if self._now == "{":
                return self._group(Group(name, values))
            if into is not None:
                into.complex[name] = values
        else:
            raise self._wrong(self._now, expected=": or (")
        if self._now == ";":
            self._take()
        return None

    def _values(self) -> tuple[str, ...]:
        self._take("(")
        values = []
        while self._now != ")":
            token = self._take()
            if token != ",":
                values.append(token.strip('"'))
        self._take(")")
        return tuple(values)

    def _group(self, group: Group) -> Group:
        self._take("{")
        while self._now != "}":
            if self._now == ";":
                self._take()
                continue
            inner = self.statement(group)
            if inner is not None:
                group.groups.append(inner)
        self._take("}")
        return group
