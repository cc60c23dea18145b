"""Which providers and offerings fail now, from the quarter hours of the last hour: what somebody may want to turn off.

An attempt failed where the gateway reports the status error. A provider or offering is bad from the first quarter hour
in which every tenth attempt failed, where that holds for all attempts since then too: a bad moment that is over, or a
few failures among few attempts, are not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q, Sum

from usage.models import Rollup15Min, Status
from usage.rules.postings import QUARTER_HOUR_S
from usage.selectors.overview import share

PROVIDER, MODEL, OFFERING = "provider", "model", "offering"
BAD_SHARE = Decimal("0.1")
LEAST_ATTEMPTS = 20  # since it is bad; of fewer, a share says little
LAST_HOUR = timedelta(hours=1)
_SENT = (Status.OK, Status.ERROR, Status.USAGE_MISSING)


@dataclass(frozen=True, kw_only=True)
class Failing:
    """A provider or an offering with the attempts since the beginning of the first bad quarter hour."""

    kind: str  # provider or offering
    name: str
    belongs_to: tuple[tuple[str, str], ...]  # itself and, of an offering, its model and provider: kind and name
    since: datetime
    attempts: int
    failed: int

    @property
    def failed_share(self) -> Decimal:
        return share(self.failed, self.attempts) or Decimal(0)


def lately(*, at: datetime) -> list[Failing]:
    """Return what failed badly in the last hour, by quarter hours: providers first, then the most failures. One query.

    The oldest quarter hour is taken whole, so up to 75 minutes are looked at.
    """
    begins = datetime.fromtimestamp((at - LAST_HOUR).timestamp() // QUARTER_HOUR_S * QUARTER_HOUR_S, at.tzinfo)
    rows = (
        Rollup15Min.objects.filter(bucket__gte=begins, bucket__lte=at, correction_of=0, status__in=_SENT)
        .values("offering__name", "offering__model__name", "offering__provider__name", "bucket")
        .annotate(attempts=Sum("requests"), failed=Sum("requests", filter=Q(status=Status.ERROR), default=0))
    )
    counted: dict[tuple[tuple[str, str], ...], dict[datetime, tuple[int, int]]] = defaultdict(dict)
    for row in rows:
        provider = (PROVIDER, row["offering__provider__name"])
        offering = ((OFFERING, row["offering__name"]), (MODEL, row["offering__model__name"]), provider)
        for key in ((provider,), offering):
            attempts, failed = counted[key].get(row["bucket"], (0, 0))
            counted[key][row["bucket"]] = attempts + int(row["attempts"]), failed + int(row["failed"])
    found = [one for key, quarters in counted.items() if (one := _bad(key, quarters)) is not None]
    return sorted(found, key=lambda one: (one.kind != PROVIDER, -one.failed, one.name))


def _bad(key: tuple[tuple[str, str], ...], quarters: dict[datetime, tuple[int, int]]) -> Failing | None:
    since = next((at for at, (attempts, failed) in sorted(quarters.items()) if _is_bad(attempts, failed)), None)
    if since is None:
        return None
    attempts = sum(attempts for at, (attempts, _) in quarters.items() if at >= since)
    failed = sum(failed for at, (_, failed) in quarters.items() if at >= since)
    if attempts < LEAST_ATTEMPTS or not _is_bad(attempts, failed):
        return None
    kind, name = key[0]
    return Failing(kind=kind, name=name, belongs_to=key, since=since, attempts=attempts, failed=failed)


def _is_bad(attempts: int, failed: int) -> bool:
    return attempts > 0 and failed >= attempts * BAD_SHARE
