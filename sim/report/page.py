"""The page as one HTML file: nothing in it is fetched, nothing but its own script runs, the same view gives the same
bytes."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from sim.report import bars, roofline, scatter, spread, tables
from sim.report.markup import Markup, element, join
from sim.report.view import Bars, Card, Part, Roofline, Scatter, Section, Spread, View


def render(view: View) -> str:
    """The whole file."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    head = element(
        "head", element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("link", rel="icon", href="data:,"),
        element("title", view.title), element("style", Markup(style)))
    body = element(
        "body", element("a", "To the figures", href="#summary", class_="skip"), bars.patterns(), _header(view),
        _contents(view), element("main", *map(_section, view.sections)),
        element("footer", element("p", "Written by `stamp-hw report`. The file is complete in itself: it loads "
                                       "nothing, and the same report gives the same bytes.")),
        element("script", Markup(script)))
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


@cache
def _asset(name: str) -> str:
    return (resources.files("sim.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """A text as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(view: View) -> Markup:
    verdict = element("div", *(element("p", sentence) for sentence in view.verdict), class_="verdict")
    return element("header", element("h1", view.title), element("p", view.subtitle, class_="subtitle"),
                   element("ul", *map(_card, view.cards), class_="cards"), *([verdict] if view.verdict else []))


def _card(card: Card) -> Markup:
    lines = [join((element("dt", term), element("dd", text))) for term, text in card.lines]
    return element("li", element("h2", card.name), element("p", card.value, " ", element("span", card.unit),
                                                           class_="value"), element("dl", *lines), class_="card")


def _contents(view: View) -> Markup:
    links = [element("li", element("a", section.title, href=f"#{section.anchor}")) for section in view.sections]
    return element("nav", element("ul", *links), aria_label="Sections")


def _section(section: Section) -> Markup:
    points = element("ul", *(element("li", point) for point in section.points)) if section.points else Markup("")
    return element("section", element("h2", section.title, id=f"{section.anchor}-title"),
                   *(element("p", sentence) for sentence in section.words), *map(_part, section.parts), points,
                   id=section.anchor, aria_labelledby=f"{section.anchor}-title")


def _part(part: Part) -> Markup:
    if isinstance(part, Bars):
        return bars.chart(part)
    if isinstance(part, Roofline):
        return roofline.chart(part)
    if isinstance(part, Scatter):
        return scatter.chart(part)
    return spread.chart(part) if isinstance(part, Spread) else tables.render(part)
