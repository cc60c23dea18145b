"""The two looks of every page: wide and light, narrow and dark.

`make test` walks each story in the narrow one, where layouts break, and has a look at each page that it checks in the
other, too. `make soak` walks them in both.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest

from tests.drawing import FULL

Theme = Literal["light", "dark"]


class Look(NamedTuple):
    width: int
    theme: Theme

    def __str__(self) -> str:
        return f"{self.width}-{self.theme}"


WIDE, NARROW = Look(1440, "light"), Look(390, "dark")
WALKED = (WIDE, NARROW) if FULL else (NARROW,)


def in_each_look(test):
    """Have a test walk its story with the arguments `width` and `theme`."""
    return pytest.mark.soak(pytest.mark.parametrize(("width", "theme"), WALKED, ids=str)(test))
