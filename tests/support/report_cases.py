"""Reports of every kind that the tests of `stamp-hw report` share, and pages read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.support.commands import command

SMALL = ("--hw", "rows=4", "--hw", "cols=4", "--hw", "lanes=8", "--hw", "max_k=1536", "--hw", "max_tokens=512")
#: Kind → the words of `stamp-hw` that write a report of it.
WORDS: dict[str, tuple[str, ...]] = {
    "shape": ("simulate", "--shape", "64x96x40", "--shape", "1x96x200", *SMALL, "--hw", "dram_bytes_per_s=1e8"),
    "model": ("simulate", "--model", "smollm2-135m", "--prefill", "32", "--decode", "2", "--vector-lanes", "8",
              "--schemes", "a8,a4,stamp", *SMALL),
    "comparison": ("compare", "smollm2-135m", "--prefill", "32", "--decode", "0", *SMALL),
}
_VOID = {"meta", "link", "br"}


def write(kind: str, folder: Path) -> Path:
    """The report of that kind."""
    path = folder / f"{kind}.json"
    assert command(*WORDS[kind], "--json", path) == 0
    return path


def document(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@dataclass(slots=True)
class Node:
    """An element of a page: its `tag`, attributes, and what is in it, elements and texts."""

    tag: str
    attributes: dict[str, str | None]
    inside: list[Node | str] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Node]:
        """Elements of that name, at any depth."""
        for item in self.inside:
            if isinstance(item, Node):
                if item.tag == tag:
                    yield item
                yield from item.all(tag)

    @property
    def text(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.inside)


class _Reader(HTMLParser):
    """Builds nodes, and refuses what is not closed in its order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        assert len(node.attributes) == len(attrs), f"{tag}: an attribute twice"
        self._open[-1].inside.append(node)
        if tag not in _VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inside.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)


def parsed(text: str) -> Node:
    """The page as elements. Raises AssertionError where they are not nested."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader._open == [reader.root], "everything is closed"
    return reader.root
