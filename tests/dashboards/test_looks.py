"""Colours of charts: whoever sees no red, no green or no blue tells every two of them apart, in both themes."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest

from catalog.models import Model, UseCase
from dashboards.charts.looks import COLOURS, PATTERNS, look, looks
from dashboards.charts.parts import OTHERS, REST, TIERS
from dashboards.selectors.numbers import TABLES, numbers
from tests.dashboards.seeing import book, call
from tests.usage import making

STYLES = Path(__file__).resolve().parents[2] / "dashboards" / "static" / "console" / "console.css"

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SEEN_BY = {
    "everybody": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# CIEDE2000. Two is just noticeable side by side; ten is told apart from a legend at the other end of a chart.
APART = 10
CONTRAST = 3  # WCAG 2.2, 1.4.11: graphical objects against the ground of the card

Colour = tuple[float, float, float]


def palette(theme: str) -> dict[str, Colour]:
    """Return custom properties of the style sheet in a theme as linear RGB."""
    pairs = re.findall(r"(--tk-[\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", STYLES.read_text())
    return {name: linear(light if theme == "light" else dark) for name, light, dark in pairs}


def linear(colour: str) -> Colour:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def times(matrix: tuple[tuple[float, ...], ...], colour: Colour) -> Colour:
    red, green, blue = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)
    return red, green, blue


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def cielab(colour: Colour) -> Colour:
    to_xyz = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.072175), (0.0193339, 0.119192, 0.9503041))
    white = (0.95047, 1, 1.08883)
    x, y, z = (
        share ** (1 / 3) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116
        for share in (part / full for part, full in zip(times(to_xyz, colour), white, strict=True))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: Colour, other: Colour) -> float:
    """Return CIEDE2000 of two colours in CIELAB, after Sharma, Wu and Dalal 2005."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean**7 / (mean**7 + 25**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0
    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360
    bend = (
        1
        - 0.17 * math.cos(math.radians(hue - 30))
        + 0.24 * math.cos(math.radians(2 * hue))
        + 0.32 * math.cos(math.radians(3 * hue + 6))
        - 0.20 * math.cos(math.radians(4 * hue - 63))
    )
    by_lightness = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / math.sqrt(20 + (lightness - 50) ** 2))
    by_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    by_hue = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * bend)
    turned = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * math.sin(
        math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2)))
    )  # fmt: skip
    return math.sqrt(by_lightness**2 + by_chroma**2 + by_hue**2 + turned * by_chroma * by_hue)


def test_the_difference_of_colours_is_the_published_one():
    blues = (50, 2.6772, -79.7751), (50, 0, -82.7485)
    far = (50, 2.5, 0), (73, 25, -18)

    assert (round(difference(*blues), 4), round(difference(*far), 4)) == (2.0425, 27.1492)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "names",
    [
        [*(f"--tk-series-{number}" for number in range(1, COLOURS + 1)), "--tk-series-rest"],
        [f"--tk-tier-{tier}" for tier in TIERS],
    ],
    ids=["series", "tiers"],
)
def test_every_two_colours_of_a_chart_are_told_apart_by_everybody_and_stand_out_from_the_card(theme, names):
    known = palette(theme)

    for who, matrix in SEEN_BY.items():
        seen = {name: cielab(tuple(min(max(part, 0), 1) for part in times(matrix, known[name]))) for name in names}
        alike = {
            (one, other): round(difference(seen[one], seen[other]), 1)
            for one, other in combinations(names, 2)
            if difference(seen[one], seen[other]) < APART
        }
        assert alike == {}, who
    assert {name for name in names if contrast(known[name], known["--tk-surface"]) < CONTRAST} == set()


def test_sixty_names_of_a_kind_all_look_different_as_areas_and_as_lines():
    sixty = [look(number) for number in range(1, COLOURS * len(PATTERNS) + 1)]

    assert len({(one.colour, one.pattern) for one in sixty}) == 60
    assert len({(one.colour, one.dash) for one in sixty}) == 60
    assert look(61) == look(1)


def test_a_name_without_a_number_has_a_look_all_the_same():
    shown = looks({"claude-opus-4.7": 1})

    assert shown["frontier"].colour == "var(--tk-tier-frontier)"
    assert shown[OTHERS].colour == REST
    assert shown["summarise"] == looks({})["summarise"] != shown["translate"]


@pytest.mark.django_db
def test_a_name_is_numbered_by_its_place_whatever_ids_were_used_up(django_assert_num_queries):
    numbered = numbers("model")
    last = max(numbered.values(), default=0)
    Model.objects.create(id=70_001, name="late")
    Model.objects.create(id=70_900, name="later")

    with django_assert_num_queries(1):
        found = numbers("model")

    assert found == {**numbered, "late": last + 1, "later": last + 2}
    assert numbers("model", ["later", "never-heard-of"]) == {"later": last + 2}


@pytest.mark.django_db(transaction=True)
def test_what_is_used_is_numbered_before_what_the_catalogue_merely_lists():
    making.make_offering("never-used@nobody")
    making.make_offering("second@bravo")
    making.make_offering("first@alpha")
    days = {"second": making.NOON, "first": making.NOON - timedelta(days=1)}
    providers = {"second": "bravo", "first": "alpha"}

    book(*(call(at=at, model=model, provider=providers[model]) for model, at in days.items()), at=making.NOON)

    found = numbers("model")
    assert (found["first"], found["second"]) == (1, 2)
    assert found["never-used"] > 2
    assert (numbers("offering")["first@alpha"], numbers("provider")["bravo"]) == (1, 2)


@pytest.mark.django_db
def test_every_kind_with_a_table_can_be_numbered_and_others_ask_nothing(django_assert_num_queries):
    UseCase.objects.create(name="Support", folded="support")

    with django_assert_num_queries(len(TABLES)):
        found = {kind: numbers(kind) for kind in TABLES}

    assert "Support" in found["use_case"]
    with django_assert_num_queries(0):
        assert numbers("tier") == numbers("task") == {}
