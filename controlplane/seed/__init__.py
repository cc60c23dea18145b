"""The demo: a believable company's three months.

`company` says who they are, `story` what happened, `fill` tells it to the ordinary services.
"""

from __future__ import annotations

from controlplane.seed import company
from controlplane.seed.fill import fill, is_filled


def sign_in() -> tuple[str, str]:
    """Return e-mail address and password of somebody who may see everything."""
    return company.SIGN_IN.email, company.PASSWORD


__all__ = ["fill", "is_filled", "sign_in"]
