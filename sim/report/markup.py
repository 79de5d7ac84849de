"""HTML and SVG as text: content and attributes of elements are escaped, so that no name of a report is ever markup."""

from __future__ import annotations

from html import escape

from stamp_hw.errors import printable

_VOID = frozenset(("meta", "link", "br", "rect", "line", "use", "path", "circle"))


class Markup(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def safe(text: str) -> Markup:
    """Any text as content or attribute; what is no printable character, as Python would write it."""
    return text if isinstance(text, Markup) else Markup(escape(printable(text)))


def join(parts: list[Markup] | tuple[Markup, ...], between: str = "") -> Markup:
    """Pieces of markup one behind the other."""
    return Markup(between.join(parts))


def element(tag: str, /, *children: str, **attributes: str | int | float | None) -> Markup:
    """An element; `class_` is class, `aria_label` is aria-label, an attribute of None is left out, numbers are written
    with six digits at most."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
                      for key, value in attributes.items() if value is not None)
    inner = "".join(map(safe, children))
    closing = "" if tag in _VOID and not inner else f"{inner}</{tag}>"
    slash = "/" if tag in _VOID - {"meta", "link", "br"} and not inner else ""
    return Markup(f"<{tag}{written}{slash}>{closing}")


def _value(value: str | int | float) -> str:
    return safe(value) if isinstance(value, str) else f"{value:.6g}"
