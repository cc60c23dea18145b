"""What a change of the catalogue would do to the past, seen before it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from catalog.selectors import snapshot
from catalog.services import amendments
from core.models import Organisation
from usage.selectors import estimating
from usage.selectors.estimating import Estimate


def preview(change: Callable[[], object], *, at: datetime) -> Estimate:
    """Make a change, look what restating would come to, and take the change back.

    So the preview refuses what the change refuses, with the same errors, and sums what the run will find. Nothing of it
    is seen by others; while it lasts, other changes of the catalogue wait, and bookings do not.

    Raises:
        whatever the change raises.
    """
    with transaction.atomic():
        with amendments.collecting() as noted:
            change()
        found = estimating.estimate(
            amendments=noted,
            book=snapshot.load(),
            calendar=estimating.calendar(Organisation.objects.get(pk=1).zone),
            until=at,
        )
        transaction.set_rollback(True)
    return found
