"""Sums of days and weeks that are over, for pages: what `rollup_day` has of them, in fewer rows.

# Note [Days that are over]
A day has a thousand rows in `rollup_day`, which tells apart versions of the rules, rules, tasks, environments and what
was asked for. Most pages ask for none of that, and adding up a year of it took them a third of a second. So days that
are over stand in `rollup_past` too, added up over these dimensions. What asks for them adds up weeks: the next day has
nearly the same rows, so `rollup_past_week` has a quarter as many. `rollup_past_attempts` has weeks, too, by fewer
dimensions and with every status and latency.

`services/past.py` gathers all while no booking is open; a booking into such a day takes all of day and week away
again, in its own transaction (`FORGET`). So in every snapshot a day is there as it is in `rollup_day`, or not at all,
and one statement that reads what is there, and `rollup_day` for the rest, reads each day once. The nightly check
compares them with `rollup_day` (`wrong`), and to rebuild a day takes away what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from django.db import connection

from core import periods
from usage.models import LATENCY_BUCKETS, Status
from usage.rules.postings import METER_COLUMNS
from usage.selectors.drivers import INPUT, OUTPUT

OF_DAYS, OF_WEEKS, OF_ATTEMPTS = "rollup_past", "rollup_past_week", "rollup_past_attempts"

# What a row of a day is told apart by, beside `lacks_price`: whether something in it has tokens and no cost.
KEY = ("use_case_id", "day", "offering_id", "team_id", "gateway_id", "tier", "status", "correction_of", "reason")
LACKS_PRICE = "(unpriced_tokens <> 0 OR unpriced_requests <> uncounted_requests)"
SUMS = (
    *METER_COLUMNS, "reasoning_tokens", "cost_usd", "list_cost_usd", "avoided_usd", "reported_cost_usd",
    "unpriced_tokens", "unpriced_requests", "uncounted_requests", "fallback_requests", "latency_ms",
)  # fmt: skip
BUCKETS = {f"latency_{place}": f"latency_histogram[{place + 1}]" for place in range(LATENCY_BUCKETS)}
_COLUMNS = ", ".join((*KEY, *SUMS))
# The same of weeks: what `rollup_day` tells apart, save gateways, corrections and the status.
WEEK_KEY = (
    "week", "use_case_id", "team_id", "offering_id", "rules_version", "tier", "environment", "rule", "reason", "task",
    "requested_model",
)  # fmt: skip
_TOKENS = f"sum({' + '.join((*INPUT, *OUTPUT))})"
_WEEK_SUMS = {
    "requests": "sum(requests)",
    "tokens": _TOKENS,
    "cost_usd": "sum(cost_usd)",
    "fallback_requests": "sum(fallback_requests)",
    "first_day": "min(day)",
    "last_day": "max(day)",
}
ATTEMPTS_KEY = ("week", "use_case_id", "team_id", "offering_id", "tier", "status")
ATTEMPTS = {
    "requests": "sum(requests)",
    "tokens": _TOKENS,
    "unpriced_tokens": "sum(unpriced_tokens)",
    "latency_ms": "sum(latency_ms)",
    **{name: f"sum({sql})" for name, sql in BUCKETS.items()},
}
COLUMNS = {
    OF_DAYS: ", ".join((*KEY, "lacks_price", *SUMS, *BUCKETS)),
    OF_WEEKS: ", ".join((*WEEK_KEY, "ok", *_WEEK_SUMS)),
    OF_ATTEMPTS: ", ".join((*ATTEMPTS_KEY, *ATTEMPTS)),
}

# Weeks and days are locked in their order, whatever the plan: two bookings into the same days wait for one another.
_IN_ORDER = "DELETE FROM {0} WHERE {1} IN (SELECT {1} FROM {0} WHERE {1} = ANY(%({1}s)s::date[]) ORDER BY 1 FOR UPDATE)"
FORGET = (
    f"WITH days AS ({_IN_ORDER.format('rollup_past_days', 'day')} RETURNING day), "
    f"weeks AS ({_IN_ORDER.format('rollup_past_weeks', 'week')} RETURNING week), "
    "of_days AS (DELETE FROM rollup_past WHERE day IN (SELECT day FROM days)), "
    "attempts AS (DELETE FROM rollup_past_attempts WHERE week IN (SELECT week FROM weeks)) "
    "DELETE FROM rollup_past_week WHERE week IN (SELECT week FROM weeks)"
)


def forgotten(days: Iterable[date]) -> dict[str, list[date]]:
    """Return the parameters of `FORGET`."""
    every = sorted(set(days))
    return {"days": every, "weeks": sorted({periods.monday(day) for day in every})}


def anew(table: str, which: str) -> str:
    """Write what `rollup_day` has for a table of these, by `COLUMNS`, of the days or weeks of the table `which`."""
    if table == OF_DAYS:
        return (
            f"SELECT {', '.join(KEY)}, {LACKS_PRICE} AS lacks_price, "
            f"{', '.join(f'sum({name})' for name in (*SUMS, *BUCKETS.values()))} "
            f"FROM rollup_day WHERE day IN (SELECT day FROM {which}) GROUP BY {', '.join(KEY)}, {LACKS_PRICE}"
        )
    if table == OF_ATTEMPTS:
        return (
            f"SELECT {', '.join(ATTEMPTS_KEY)}, {', '.join(ATTEMPTS.values())} "
            f"FROM {which} JOIN rollup_day ON day >= week AND day < week + 7 GROUP BY {', '.join(ATTEMPTS_KEY)}"
        )
    return (
        f"SELECT {', '.join(WEEK_KEY)}, status = {int(Status.OK)} AS ok, {', '.join(_WEEK_SUMS.values())} "
        f"FROM {which} JOIN rollup_day ON day >= week AND day < week + 7 "
        f"GROUP BY {', '.join(WEEK_KEY)}, status = {int(Status.OK)}"
    )


def wrong(day: date) -> dict[str, int]:
    """Count by table the rows of a gathered day, and of the week that it begins, that `rollup_day` does not add up to.

    One statement for each, of one snapshot.
    """
    found = {}
    for table, gathered, column, told_apart in (
        (OF_DAYS, "rollup_past_days", "day", (*KEY, "lacks_price")),
        (OF_WEEKS, "rollup_past_weeks", "week", (*WEEK_KEY, "ok")),
        (OF_ATTEMPTS, "rollup_past_weeks", "week", ATTEMPTS_KEY),
    ):
        which = f"(SELECT {column} FROM {gathered} WHERE {column} = %(day)s) AS which"
        held = f"SELECT {COLUMNS[table]} FROM {table} WHERE {column} = %(day)s"
        sql = (
            f"WITH anew AS ({anew(table, which)}), held AS ({held}), other AS "
            "((TABLE anew EXCEPT TABLE held) UNION ALL (TABLE held EXCEPT TABLE anew)) "
            f"SELECT count(*) FROM (SELECT DISTINCT {', '.join(told_apart)} FROM other) AS rows"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, {"day": day})
            (count,) = cursor.fetchone()
        if count:
            found[table] = count
    return found


def sums_of_days(*, first: str = "%(first)s", until: str = "%(until)s") -> str:
    """Write a table in parentheses that has the sums of [first, until), by `KEY` and `lacks_price`, and of other days.

    It has the columns of `rollup_day` save the dimensions that are not in `KEY` and the compared costs; the histogram
    is in columns of its own (`BUCKETS`). `first` and `until` are placeholders of parameters. The caller says
    `WHERE day >= first AND day < until`: in here, the condition would have PostgreSQL copy every row once more.
    """
    gathered, rest = parts_of_days(first=first, until=until)
    return f"(SELECT {_COLUMNS}, {', '.join(BUCKETS)}, lacks_price FROM {gathered} UNION ALL {rest[1:-1]})"


def parts_of_days(*, first: str = "%(first)s", until: str = "%(until)s") -> tuple[str, str]:
    """Write the two tables that `sums_of_days` is made of: to add up each for itself takes half the time."""
    rest = _days(first, until, "SELECT FROM rollup_past_days p WHERE p.day = d::date")
    columns = f"{_COLUMNS}, {', '.join(f'{sql} AS {name}' for name, sql in BUCKETS.items())}"
    return "rollup_past", f"(SELECT {columns}, {LACKS_PRICE} AS lacks_price FROM rollup_day WHERE day = ANY({rest}))"


# Of tables of weeks: weeks within [first, until) that lie on one side of `middle`. All three are parameters.
WHOLE_WEEKS = (
    "week >= %(first)s::date AND week <= %(until)s::date - 7 "
    "AND NOT (week > %(middle)s::date - 7 AND week < %(middle)s::date)"
)


def other_days() -> str:
    """Write the condition on `rollup_day` for those days of [first, until) that `WHOLE_WEEKS` does not find."""
    of_week = "SELECT FROM rollup_past_weeks WHERE week = d::date - (extract(isodow FROM d)::int - 1) AND "
    return f"day = ANY({_days('%(first)s', '%(until)s', of_week + WHOLE_WEEKS)})"


def _days(first: str, until: str, gathered: str) -> str:
    return (
        f"ARRAY(SELECT d::date FROM generate_series({first}::date, {until}::date - 1, '1 day') AS d "
        f"WHERE NOT EXISTS ({gathered}))"
    )
