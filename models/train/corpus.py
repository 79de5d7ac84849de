"""The text that the small models are trained on: what every Python installation carries.

Documents are the topics of ``pydoc_data.topics`` and, module by module, the docstrings of the standard library,
read from its source by ``ast`` (nothing is imported, so nothing runs). Packages that distributions
ship separately (tests, tkinter, IDLE, …) are left out: the text is the same for one Python version, wherever it
came from. Another patch release has a slightly different text, which is why the held-out text travels with the
checkpoint. The text is the Python Software Foundation's, under the PSF licence.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Top-level packages that distributions split off, drop or fill with other people's code.
LEFT_OUT = frozenset(("test", "tests", "idlelib", "tkinter", "turtle", "turtledemo", "lib2to3", "distutils",
                      "ensurepip", "site-packages", "dist-packages", "config", "lib-dynload", "__pycache__",
                      "pydoc_data"))
#: One document in this many is held out.
HELD_OUT_ONE_IN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Training and held-out text; documents end with a form feed, which the tokenizer maps to its end of text.

    No paragraph of `held_out` occurs anywhere in `training`, white space aside.
    """

    training: str
    held_out: str


def paragraphs(text: str) -> list[str]:
    """Blocks of text between blank lines, trailing white space removed."""
    blocks = re.split(r"\n[ \t]*\n|\f", text)
    cleaned = ("\n".join(line.rstrip() for line in block.splitlines()).strip("\n") for block in blocks)
    return [block for block in cleaned if block.strip()]


def normalise(text: str) -> str:
    """Text with every run of white space as one blank: the form in which paragraphs are compared."""
    return " ".join(text.split())


def sha256(text: str) -> str:
    """Hexadecimal SHA-256 of the UTF-8 form of `text`."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _docstrings(source: str) -> Iterator[str]:
    """Docstrings of a module, its classes and functions in order of appearance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stray escape in somebody else's source is not our business
        tree = ast.parse(source)
    places = [node for node in ast.walk(tree)
              if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
    for node in sorted(places, key=lambda node: getattr(node, "lineno", 0)):
        text = ast.get_docstring(node, clean=False)
        if text:
            yield inspect.cleandoc(text)


def documents() -> Iterator[tuple[str, str]]:
    """Pairs of document name and text, in a fixed order."""
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield f"topic {name}", topics[name]
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        parts = path.relative_to(root).with_suffix("").parts
        if any(part in LEFT_OUT or part.startswith(("config-", "_sysconfigdata")) for part in parts):
            continue
        text = "\n\n".join(_docstrings(path.read_text(encoding="utf-8", errors="replace")))
        if text:
            yield "module " + ".".join(parts), text


def build() -> Corpus:
    """The corpus of the running Python: every paragraph once, whole documents held out."""
    seen: set[str] = set()
    kept: dict[bool, list[list[str]]] = {False: [], True: []}
    for name, text in documents():
        fresh = []
        for paragraph in paragraphs(text):
            key = normalise(paragraph)
            if key not in seen:
                seen.add(key)
                fresh.append(paragraph)
        if fresh:
            kept[int(sha256(name), 16) % HELD_OUT_ONE_IN == 0].append(fresh)
    training = _join(kept[False])
    haystack = normalise(training)
    held_out = _join([left for document in kept[True]
                      if (left := [block for block in document if normalise(block) not in haystack])])
    return Corpus(training=training, held_out=held_out)


def _join(blocks: list[list[str]]) -> str:
    return "".join("\n\n".join(document) + "\n\f" for document in blocks)


def calibration(training: str, count: int, characters: int) -> str:
    """The beginnings of `count` training documents of at least `characters`, spread evenly over the corpus."""
    long = [document for document in training.split("\f") if len(document) >= characters]
    chosen = [long[number * len(long) // count] for number in range(count)]
    return "".join(document[:characters].rsplit("\n", 1)[0].strip("\n") + "\n\f" for document in chosen)
