"""What the catalogue's views share."""

from __future__ import annotations

from typing import Any

from core import nudges
from core.api import read_cursor
from core.errors import NotFound
from core.services import barrier

# What waits for a price is looked for by the background worker; who changed the catalogue asks it to look now.
_LOOK_FOR_PRICES = ("usage.tasks.run_jobs", "background")


def after(query: dict[str, Any]) -> int:
    """Return the id after which the page that is asked for begins."""
    cursor = read_cursor(query.get("after"), (int,))
    return cursor[0] if cursor else 0


def settled() -> None:
    """Return once no booking is open that still works with the catalogue as it was, and have waiting entries priced."""
    barrier.pass_through()
    nudges.nudge(*_LOOK_FOR_PRICES)


def one_of(rows: list[Any], what: str, pk: int) -> Any:
    """Return the one row there is.

    Raises:
        NotFound: there is none.
    """
    if not rows:
        raise NotFound(f"There is no {what} {pk}.")
    return rows[0]
