"""Tells when more than one per cent of a day's tokens have no price, once while that lasts.

Yesterday counts as it ended; of today what it has so far, held against the greater of both days' tokens, so that a few
calls after midnight are not a share of the day. The alert is known by the day on which it began and the offering with
most of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from alerts.models import Alert, AlertState
from alerts.services import resolving
from budgets.wording import day as in_words
from core import periods
from core.models import Organisation
from usage.rules import watching as rules
from usage.rules.watching import lacks_prices
from usage.selectors import watched
from usage.selectors.watched import UnpricedDay
from usage.services.watching.looked import Finding, Looked, alone, link, per_cent, tell

KIND = "unpriced_share"
_DAY = timedelta(days=1)
_LOOK = timedelta(days=35)  # how far back its beginning is looked for
_SHOWN = 5
_NOTHING = UnpricedDay()


@transaction.atomic(durable=True)
def look(*, at: datetime) -> Looked:
    """Raise an alert where too many tokens have no price, and resolve it when they have, or are used no more.

    Safe to repeat, and for any number of schedulers at once. Four queries where all is well or told.
    """
    if not alone("prices"):
        return Looked()
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    today = periods.local_day(at, zone)
    days = watched.unpriced(first=today - _LOOK, until=today + _DAY)
    lasts = Alert.objects.filter(kind=KIND).exclude(state=AlertState.RESOLVED).exists()
    found = [day for day in (today - _DAY, today) if _lacks(days, day, today=today)]
    if not found:
        return Looked(resolved=resolving.resolve(kind=KIND, dedupe_key_prefix=f"{KIND}:", at=at) if lasts else 0)
    if lasts:
        return Looked()
    return Looked(raised=tell(KIND, [_finding(days, max(found), today=today)], at=at))


def _lacks(days: Mapping[date, UnpricedDay], day: date, *, today: date) -> bool:
    one = days.get(day, _NOTHING)
    whole = max(one.tokens, days.get(day - _DAY, _NOTHING).tokens) if day == today else one.tokens
    return lacks_prices(unpriced_tokens=one.unpriced_tokens, tokens=whole)


def _finding(days: Mapping[date, UnpricedDay], day: date, *, today: date) -> Finding:
    one = days[day]
    began = day
    while _lacks(days, began - _DAY, today=today):
        began -= _DAY
    names = [f"{each.offering} ({each.tokens:,} tokens)" for each in one.offerings[:_SHOWN]]
    left = len(one.offerings) - len(names)
    named = ", ".join(names) + (f" and {left:,} more" if left else "")
    share = per_cent(Decimal(one.unpriced_tokens) / one.tokens)
    so_far = " so far" if day == today else ""
    return Finding(
        dedupe_key=f"{KIND}:{began.isoformat()}:{one.offerings[0].offering_id}",
        title=f"{share} of the tokens of {in_words(day)}{so_far} are unpriced",
        facts={
            "summary": f"{one.unpriced_tokens:,} of {one.tokens:,} tokens of {in_words(day)}{so_far} are unpriced: "
            f"{named}. They are counted, and missing from every cost and from budgets in USD.",
            "rows": [
                ["Unpriced tokens", f"{one.unpriced_tokens:,} of {one.tokens:,} ({share})"],
                ["Told above", f"{rules.UNPRICED_SHARE * 100:.0f} % of a day"],
                ["Since", in_words(began)],
                *(
                    [each.offering, f"{each.tokens:,} tokens in {each.requests:,} requests"]
                    for each in one.offerings[:_SHOWN]
                ),
            ],
            "next": "Enter the prices, or say which known model it is. What was booked without them is then priced as "
            "of its time, and this alert ends by itself.",
            "links": [link("What is unpriced", "/attention/", list="unpriced"), link("Enter a price", "/prices/new/")],
        },
        subject_kind="offering",
        subject_id=one.offerings[0].offering_id,
        team_ids=[],
    )
