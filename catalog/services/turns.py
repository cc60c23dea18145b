"""Changes of the catalogue come one after another.

# Note [One change at a time]
Each change moves the catalogue's revision, by a trigger at its first write, so no two can be under way from there on.
What they lock before that, in whatever order each needs it (series, offerings, names), would let two wait for each
other: one with the revision for a row, one with that row for the revision. So each change takes the revision first.
Bookings only read it, and do not wait for a change, save the first one of a source, which sets its format.
"""

from __future__ import annotations

from django.db import connection

from core.services import audit


def acting(*, by: str, reason: str = "") -> None:
    """Name who changes the catalogue, and wait until no other change of it is under way.

    Call it first inside the service's `atomic` block, in place of `audit.acting`; repeating it is harmless. A preview
    (`usage.services.restating.previewing`) is such a change until it is taken back.
    """
    audit.acting(by=by, reason=reason)
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM catalog_revision FOR NO KEY UPDATE")
