"""What is told of the pages' times, and which addresses they are of."""

from __future__ import annotations

import re

from controlplane.bench import addresses, pages
from controlplane.bench.pages import Page


def page(address: str, small: list[float], large: list[float]) -> Page:
    return Page(address=address, name=address, seconds=(small, large), processor=([0.01], [0.04]), queries=7)


def test_one_slow_page_misses_its_limit_though_all_pages_together_meet_theirs():
    quick = [page(f"/quick/{n}/", [0.02] * 7, [0.02] * 7) for n in range(40)]

    every, slowest, growth = pages.figures(
        [*quick, page("/slow/", [0.2] * 7, [0.3, 0.9] * 3 + [0.3])], ["saved-view"], small=10, entries=100
    )

    assert (every.value, every.meets) == (0.02, True)
    assert every.note.endswith("no page of these was there to open: saved-view")
    assert (slowest.value, slowest.meets) == (0.9, False)
    assert len(slowest.lines) == 41
    assert slowest.lines[0].split() == ["300", "900", "40", "7", "1.50", "/slow/"]
    assert (round(growth.value, 3), growth.meets) == (1.1, True)


def test_a_page_that_was_opened_more_often_weighs_no_more_than_the_others():
    quick = [page(f"/quick/{n}/", [0.02] * 7, [0.02] * 7) for n in range(20)]

    every, slowest, _ = pages.figures(
        [*quick, page("/slow/", [0.2] * 40, [0.21] * 7 + [0.25] * 32 + [0.9])], [], small=10, entries=100
    )

    assert (every.value, slowest.value) == (0.02, 0.25)


def test_every_variable_of_the_addresses_is_known():
    variables = {
        (route.split("/")[0], name)
        for route, _ in addresses.routes()
        for name in re.findall(r"<(?:\w+:)?(\w+)>", route)
    }
    known = {"environment", "number", "form", "format", "place", "name", "key", "label", "month"}

    unknown = {
        (first, name)
        for first, name in variables
        if name not in known
        and not any(start.split("/")[0] == first and of == name for start, of in addresses._NUMBERED)
    }

    assert unknown == {("events", "source"), ("events", "digest")}
