"""The demo: a believable company's three months.

`company` says who they are, `story` what happened, `fill` tells it to the ordinary services, `steering` makes budgets
and channels, `rules` and `book` what they did with rules and prices, `statements` what their providers say. `fleet` has
their gateways ask for rules as long as the demo runs.
"""

from __future__ import annotations

from controlplane.seed import company
from controlplane.seed.book import read_prices
from controlplane.seed.fill import fill, is_filled


def sign_in() -> tuple[str, str]:
    """Return e-mail address and password of somebody who may see everything."""
    return company.SIGN_IN.email, company.PASSWORD


__all__ = ["fill", "is_filled", "read_prices", "sign_in"]
