"""What tells whether a gateway is connected well: its keys, its polls, what came in, and what was turned away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from core import turned_away
from core.models import ApiKey
from core.turned_away import BODY, KEY, NO_KEY, SCOPE, SIGNATURE, Seen
from dashboards.selectors import gateways as page_of
from dashboards.selectors.gateways import GatewayPage, KeyRow
from usage.selectors import connecting as usage
from usage.selectors.connecting import Quarter, Stream

# Where gateways and those who ask for them come; what is turned away elsewhere is somebody's script.
PLACES = ("/api/v1/usage/", "/api/v1/rules/", "/v1/traces", "/log-request", "/s3/", "/mcp")
_MOST_ENDED = 5000  # keys that stopped and could still be tried somewhere


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Something that was turned away and is, or may be, this gateway's. `key` is its key that was used, if known."""

    seen: Seen
    key: KeyRow | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the diagnosis of a gateway rests on, since an instant.

    `key` is the one that it is asked about, else the one that was used last; None where none works.
    """

    page: GatewayPage
    since: datetime
    key: KeyRow | None
    stream: Stream
    quarter: Quarter | None
    refused: Sequence[Refused]

    @property
    def environments(self) -> Sequence[str]:
        """Those that its working keys stand for."""
        return sorted({key.environment for key in self.page.row.keys})


def facts(*, gateway_id: int, at: datetime, key_id: int | None = None) -> Facts | None:
    """Return what is known of a gateway's connection, or None where there is no such gateway.

    Of the last 24 hours; with `key_id` since that key was made. Twelve queries, and one look into Redis.
    """
    page = page_of.one(gateway_id=gateway_id, at=at)
    if page is None:
        return None
    working = page.row.keys
    key = next((one for one in working if one.id == key_id), None)
    since = key.created_at if key is not None else at - usage.RECENT
    if key is None:
        used = [one for one in working if one.last_used_at is not None]
        key = max(used, key=lambda one: one.last_used_at or at, default=next(iter(working), None))
    return Facts(
        page=page,
        since=since,
        key=key,
        stream=usage.stream(gateway_id=gateway_id, since=since, at=at),
        quarter=usage.newest_quarter(gateway_id=gateway_id, since=since, at=at),
        refused=_refused(page, at),
    )


def _refused(page: GatewayPage, at: datetime) -> list[Refused]:
    """Tell which of what was turned away is this gateway's or nobody's; what is another gateway's is left out."""
    seen = [one for one in turned_away.recent(at=at) if one.what.path.startswith(PLACES)]
    own = {key.id: key for key in (*page.row.keys, *page.ended)}
    ended = ApiKey.objects.filter(Q(revoked_at__isnull=False) | Q(expires_at__lte=at)).order_by("-id")
    marks = {
        turned_away.mark_of(bytes(digest)): pk for pk, digest in ended.values_list("id", "digest")[:_MOST_ENDED]
    } if any(one.what.why == KEY for one in seen) else {}  # fmt: skip
    found = []
    for one in seen:
        what = one.what
        if (
            what.why == NO_KEY
            or (what.why == SIGNATURE and not what.key_id)
            or (what.why == KEY and what.mark not in marks)
        ):
            found.append(Refused(seen=one, key=None))
        elif what.why == KEY and marks[what.mark] in own:
            found.append(Refused(seen=one, key=own[marks[what.mark]]))
        elif what.why in (SCOPE, BODY, SIGNATURE) and what.key_id in own:
            found.append(Refused(seen=one, key=own[what.key_id]))
    return found
