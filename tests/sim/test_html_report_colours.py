"""Colours of the report's page: legible on light and dark paper, and told apart by readers who see fewer of them."""

from __future__ import annotations

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

from sim.report import names

CSS = (resources.files("sim.report") / "report.css").read_text(encoding="utf-8")
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
               for block in re.findall(r":root \{([^}]*--paper[^}]*)\}", CSS))
themes = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
COLOURS = {look.colour for kind in names.KINDS.values() for look in kind.values()} | {names.REST}
#: G. M. Machado and others, "A physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15(6),
#: 2009, severity 1: linear RGB to linear RGB.
SEEN = {
    "all colours": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
}
#: B. Ottosson, "A perceptual color space for image processing", 2020: linear RGB to Oklab.
CONES = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                  [0.0883024619, 0.2817188376, 0.6299787005]])
OKLAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                  [0.0259040371, 0.7827717662, -0.8086757660]])


def linear(colour: str) -> np.ndarray:
    """Linear RGB of `#rrggbb`."""
    srgb = np.array([int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2."""
    dark, light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def apart(one: str, other: str, seen: np.ndarray) -> float:
    """Distance in Oklab; 0.02 is just seen side by side."""
    return float(np.linalg.norm(np.subtract(*(
        OKLAB @ np.cbrt(CONES @ np.clip(seen @ linear(colour), 0, 1)) for colour in (one, other)))))


@themes
def test_words_have_a_contrast_of_four_and_a_half(theme: dict[str, str]) -> None:
    for words in ("ink", "soft", "accent"):
        for paper in ("paper", "panel"):
            assert contrast(theme[words], theme[paper]) >= 4.5, (words, paper)
    for colour in COLOURS:
        assert contrast(theme[f"on-{colour}"], theme[colour]) >= 4.5, colour


@themes
def test_what_is_drawn_has_a_contrast_of_three(theme: dict[str, str]) -> None:
    for colour in COLOURS:
        assert contrast(theme[colour], theme["paper"]) >= 3, colour


@themes
@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("kind", names.KINDS)
def test_what_one_chart_shows_is_told_apart_by_colour_or_hatching(kind: str, seen: str, theme: dict[str, str]) -> None:
    looks = {(look.colour, look.hatched) for look in names.KINDS[kind].values()}
    assert len(looks) == len(names.KINDS[kind]), "no two things of a chart look the same"
    for (one, hatched), (other, too) in combinations(looks, 2):
        if one != other and hatched == too:
            assert apart(theme[one], theme[other], SEEN[seen]) >= 0.1, (one, other)


def test_a_thing_has_the_same_colour_in_every_chart() -> None:
    cycles, limits, energy, operands = (names.KINDS[kind] for kind in ("cycles", "limits", "energy", "bytes"))
    for limit in ("drain", "activations", "weights", "dram_activations", "dram_weights", "dram_bytes"):
        mine, theirs = limits[limit], cycles[f"wait_{limit}"]
        assert (mine.colour, mine.hatched) == (theirs.colour, theirs.hatched)
    assert limits["array"].colour == cycles["streaming"].colour == energy["mac"].colour
    assert operands["weights"].colour == limits["weights"].colour
    assert operands["activations"].colour == limits["activations"].colour
    assert operands["outputs"].colour == cycles["wait_output"].colour
    assert energy["dram"].colour == limits["dram_bytes"].colour
    assert set(LIGHT) == set(DARK)
