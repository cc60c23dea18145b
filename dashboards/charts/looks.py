"""How a name looks in every chart: one of ten colours, and a pattern or a dash once the ten are used up.

What a name looks like hangs on its number alone (`dashboards.selectors.numbers`), never on its rank or on what else is
drawn, so that a model keeps its colour from chart to chart, from range to range and from person to person.

    shown = looks(numbers("model"))
    go.Bar(name=model, marker=shown[model].marker)
    go.Scatter(name=model, mode="lines", line=shown[model].line)
    go.Scatter(name=model, stackgroup="all", **shown[model].area)

# Note [Names without a number]
Tiers have colours of their own, `others` and `none given` are grey. Whatever else has no row that could number it (a
task, an environment, a name that somebody asked for) is numbered by its characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from dashboards.charts.parts import NONE_GIVEN, OTHERS, REST, TIERS, colour_of, colour_of_tier

COLOURS = 10
# As Plotly calls them. The first is plain; six of each are what an eye still tells apart.
PATTERNS = ("", "/", ".", "x", "-", "|")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True, kw_only=True)
class Look:
    """A colour by its name in the style sheet, with a pattern for areas and a dash for lines."""

    colour: str
    pattern: str = ""
    dash: str = "solid"

    @property
    def soft(self) -> str:
        """The colour, see-through: for links of a Sankey diagram."""
        return f"{self.colour[:-1]}-soft)"

    @property
    def marker(self) -> dict[str, Any]:
        """`marker` of a bar."""
        return {"color": self.colour, **({"pattern": {"shape": self.pattern}} if self.pattern else {})}

    @property
    def line(self) -> dict[str, Any]:
        """`line` of a scatter."""
        return {"color": self.colour, "dash": self.dash}

    @property
    def area(self) -> dict[str, Any]:
        """Arguments of a scatter whose area is filled."""
        filled = {"mode": "lines", "line": {"color": self.colour, "width": 0}, "fillcolor": self.colour}
        return filled | ({"fillpattern": {"shape": self.pattern}} if self.pattern else {})


def look(number: int) -> Look:
    """Return the look of a number, counted from 1; after sixty they repeat."""
    turn = (number - 1) // COLOURS
    return Look(
        colour=colour_of((number - 1) % COLOURS),
        pattern=PATTERNS[turn % len(PATTERNS)],
        dash=DASHES[turn % len(DASHES)],
    )


class Looks(dict[str, Look]):
    """Looks by name; `looks[name]` also answers for a name that has no number. See Note [Names without a number]."""

    def __missing__(self, name: str) -> Look:
        if name in TIERS:
            return Look(colour=colour_of_tier(name))
        if name in (OTHERS, NONE_GIVEN, ""):
            return Look(colour=REST)
        return look(crc32(name.encode()) % (COLOURS * len(PATTERNS)) + 1)


def looks(names_to_numbers: Mapping[str, int]) -> dict[str, Look]:
    """Return the looks of names by their numbers; any other name may be asked for with `[name]`, too."""
    return Looks({name: look(number) for name, number in names_to_numbers.items()})
