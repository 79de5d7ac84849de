"""Reading a YAML file strictly: a key given twice is refused, and whatever is wrong is one ConfigError."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from stamp_hw.errors import ConfigError

MAX_BYTES = 1 << 20
_MAX_DIGITS = 40
_FLOAT, _INT, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("float", "int", "merge"))


class _TagError(yaml.MarkedYAMLError):
    """An explicit tag; `problem` is the tag."""


class _Loader(yaml.SafeLoader):
    """Safe YAML 1.1, with YAML 1.2's floats: 5e8 is a number there, and for everyone who writes it.

    Explicit tags are refused: nothing here needs one, and PyYAML fails in many ways on a value that is not of its tag.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Raises _TagError for a tag."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.AliasEvent) and event.tag is not None:
            raise _TagError(problem=event.tag, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(_FLOAT, re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
                              list("-+.0123456789"))


def load_yaml(path: str | Path, what: str) -> Any:
    """The one document of a file, made of dictionaries, lists and scalars; None for an empty one.

    Raises ConfigError ("cannot read `what`" where the file cannot be read), naming file, line and key path.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else
                  "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "a name with a zero byte")
        raise ConfigError(f"cannot read {what}", where=str(path), got=reason, expected="a readable YAML file") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"cannot read {what}", where=str(path), got="a longer file",
                          expected=f"at most {MAX_BYTES} bytes")
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """`load_yaml` of a text; `where` names its file in messages."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(loader, node, where, "", set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        if isinstance(error, _TagError):
            raise ConfigError("explicit tag", where=place, got=error.problem, expected="plain values") from None
        raise ConfigError("not YAML", where=place, got=error.problem) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError("not YAML", where=where, got=str(error).split("\n")[0]) from None
    except (RecursionError, MemoryError):
        raise ConfigError("not usable YAML", where=where, got="a file nested too deeply") from None


def _check(loader: _Loader, node: yaml.Node, where: str, path: str, seen: set[int]) -> None:
    """Refuse what must not be constructed; a node that aliases lead to is visited once."""
    if id(node) in seen:
        return
    seen.add(id(node))

    def refuse(what: str, culprit: yaml.Node, key: str, expected: str) -> None:
        line = culprit.start_mark.line + 1
        raise ConfigError(what, where=f"{where}, line {line}: {key}" if key else f"{where}, line {line}",
                          expected=expected)

    if isinstance(node, yaml.ScalarNode) and node.tag == _INT and len(node.value) > _MAX_DIGITS:
        refuse("number with too many digits", node, path, f"at most {_MAX_DIGITS}")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _check(loader, item, where, f"{path}[{index}]", seen)
    if not isinstance(node, yaml.MappingNode):
        return
    keys = set()
    for key_node, value in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _MERGE:
            refuse("key is no plain text or number", key_node, path, "key: value")  # merges can grow without bound
        _check(loader, key_node, where, path, seen)
        inner = f"{path}.{key_node.value}" if path else str(key_node.value)
        key = loader.construct_object(key_node)
        if key in keys:
            refuse("key is given twice", key_node, inner, "each key once")
        keys.add(key)
        _check(loader, value, where, inner, seen)
