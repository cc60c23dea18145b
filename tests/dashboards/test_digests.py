"""Digests: due once a day or week by the organisation's clock, about what a channel covers."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import close_old_connections, connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, AlertState, Channel, Delivery, Severity
from alerts.selectors import alerts
from alerts.services import deliveries
from catalog.models import Team, Tier
from core import periods
from core.models import Organisation
from dashboards.selectors import digest_words
from dashboards.selectors.digest import Coverage, Sources
from dashboards.selectors.digest_sums import changes
from dashboards.services import digests
from dashboards.templatetags.figures import GAP
from tests.alerts.making import make_alert, make_channel
from tests.dashboards.seeing import book, call
from tests.factories import make_budget, make_team
from tests.usage.making import NOON, make_offering, make_priced_offering
from usage.selectors.chargeback import SpanCell, Sums

ZONE = "Europe/Berlin"
DAY = timedelta(days=1)
TUESDAY = datetime(2026, 6, 16, 6, tzinfo=UTC)  # eight o'clock in Berlin; `NOON` is the Monday before
MONDAY = datetime(2026, 6, 22, 6, tzinfo=UTC)
SONNET = {"provider": "anthropic", "model": "claude-sonnet-4.6"}


@pytest.fixture
def house(db):
    """Book four Mondays of 10 USD, then one on which support doubles and code review moves to a cheaper model."""
    Organisation.objects.update(zone=ZONE)
    make_priced_offering()
    make_offering("claude-sonnet-4.6@anthropic", tier=Tier.MIDDLE, uncached_input="5", output="15")
    for weeks in range(4, 0, -1):
        at = NOON - timedelta(weeks=weeks)
        book(call(at=at, usd=6, team="support"), call(at=at, usd=4, team="platform", use_case="code-review"), at=at)
    book(
        call(usd=6, at=NOON, team="support"),
        call(usd=6, at=NOON, team="support"),
        call(usd=2, at=NOON, team="platform", use_case="code-review", **SONNET),
        at=NOON,
    )


def sent():
    return list(Alert.objects.filter(kind__startswith="digest_").order_by("id"))


def sections(facts):
    return {one["title"].partition(",")[0]: one for one in facts["sections"]}


# --- when ---


@pytest.mark.parametrize(
    ("zone", "day", "hour", "begins"),
    [
        (ZONE, date(2026, 6, 16), 8, datetime(2026, 6, 16, 6, tzinfo=UTC)),
        (ZONE, date(2026, 3, 29), 2, datetime(2026, 3, 29, 1, tzinfo=UTC)),  # does not exist: three o'clock
        (ZONE, date(2026, 10, 25), 2, datetime(2026, 10, 25, 0, tzinfo=UTC)),  # twice: the first
        ("Australia/Lord_Howe", date(2026, 10, 4), 2, datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),  # half an hour
        ("America/Santiago", date(2026, 9, 6), 0, datetime(2026, 9, 6, 4, tzinfo=UTC)),  # midnight does not exist
    ],
)
def test_a_digest_is_due_from_its_hour_until_the_day_is_over_whatever_the_clock_does(zone, day, hour, begins):
    channel = Channel(pk=1, digests=["daily"], digest_hour=hour)
    instants = [begins - DAY + timedelta(minutes=15) * n for n in range(192)]

    due = [at for at in instants if [one.day for one in digests.due_at([channel], zone=zone, at=at)] == [day]]

    assert due[0] == begins
    assert due == [at for at in instants if begins <= at < periods.day_start(day + DAY, zone)]


@pytest.mark.django_db
def test_each_is_sent_once_a_day_and_what_was_missed_is_made_up_for_on_the_same_day_alone():
    Organisation.objects.update(zone=ZONE)
    daily, both = make_channel(digests=["daily"], digest_hour=8), make_channel(digests=["daily", "weekly"])
    make_channel(digests=["daily"], enabled=False)
    make_channel(digests=["daily"], retired_at=NOON)
    make_channel()

    counts = [
        digests.send_due(at=at)
        for at in (
            MONDAY - timedelta(seconds=1), MONDAY, MONDAY, MONDAY + timedelta(minutes=9),
            MONDAY + DAY + timedelta(hours=15), MONDAY + 3 * DAY - timedelta(hours=8),
        )
    ]  # fmt: skip

    # The last one is Thursday's first hours: Wednesday's digest is not told any more.
    assert counts == [0, 3, 0, 0, 2, 0]
    assert {one.dedupe_key for one in sent()} == {
        f"digest_daily:{daily.pk}:2026-06-22", f"digest_daily:{both.pk}:2026-06-22",
        f"digest_weekly:{both.pk}:2026-06-22", f"digest_daily:{daily.pk}:2026-06-23",
        f"digest_daily:{both.pk}:2026-06-23",
    }  # fmt: skip
    assert {(one.state, one.severity) for one in sent()} == {(AlertState.RESOLVED, Severity.INFO)}
    assert set(Delivery.objects.values_list("state", "channel_id")) == {("waiting", daily.pk), ("waiting", both.pk)}


@pytest.mark.django_db(transaction=True)
def test_schedulers_that_look_at_once_send_one():
    make_channel(digests=["daily"], digest_hour=6)

    def look(_):
        try:
            return digests.send_due(at=TUESDAY)
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(look, range(4)))

    assert (sum(counts), len(sent()), Delivery.objects.count()) == (1, 1, 1)


# --- what ---


def test_the_daily_digest_tells_the_day_beside_what_is_usual_for_its_weekday(house):
    title, facts = digest_words.daily(Sources(at=TUESDAY, zone=ZONE).daily(Coverage()), zone=ZONE)

    assert title == "Daily digest of Monday 15 June: $14.00 spent"
    assert facts["summary"].startswith(f"Monday cost $14.00, 40.0{GAP}% more than is usual for a Monday.")
    assert dict(facts["rows"]) == {
        "Spent": "$14.00 (usual $10.00)",
        "Requests": "3 (usual 2)",
        "Tokens": "2.8M (usual 2.0M)",
        "On frontier": f"66.7{GAP}% (usual 100.0{GAP}%)",
        "Complete through": "15 June 2026, 14:00 Europe/Berlin",
    }
    moved = sections(facts)["What moved most"]
    assert moved["bars"] == [
        ["support-routing", "$12.00 (+$6.00)", "1.0000"], ["code-review", "$2.00 (-$2.00)", "0.1667"],
    ]  # fmt: skip
    assert facts["links"][0][1] == "/spend/?from=2026-06-15&to=2026-06-15&by=use_case"


def test_alerts_budgets_and_messages_that_did_not_arrive_are_named(house):
    ops = make_channel(name="ops")
    make_budget(name="support", unit="usd", zone=ZONE, amount=Decimal(20), at=NOON - DAY)
    book(call(usd=18, at=TUESDAY - timedelta(hours=2), team="support"), at=TUESDAY - timedelta(hours=2))
    make_alert(title="old and resolved", at=NOON - 3 * DAY, notice=True)
    make_alert(title="old and open", at=NOON - 3 * DAY)
    make_alert(title="new and asleep", at=NOON)
    Alert.objects.filter(title="new and asleep").update(snoozed_until=TUESDAY + DAY)
    make_alert(title="new and seen", at=NOON, severity=Severity.CRITICAL)
    Alert.objects.filter(title="new and seen").update(
        state=AlertState.ACKNOWLEDGED, acknowledged_by="lead@example.com", acknowledged_at=NOON
    )
    make_alert(title="a digest of yesterday", kind="digest_daily", at=NOON, notice=True)
    Delivery.objects.filter(alert__title="new and seen").update(state="failed", reason="550 no such user")

    title, facts = digest_words.daily(Sources(at=TUESDAY, zone=ZONE).daily(Coverage()), zone=ZONE)

    crossed = Alert.objects.get(budget_id__isnull=False, title__contains="support", created_at__gt=NOON)
    found = sections(facts)
    assert title == "Daily digest of Monday 15 June: $14.00 spent, 2 alerts open, 1 budget at risk"
    assert found["Alerts: open ones"]["rows"] == [
        ["warning, open", crossed.title],
        ["warning, open since 12 Jun", "old and open"],
        ["warning, snoozed", "new and asleep"],
        ["critical, acknowledged by lead@example.com", "new and seen"],
    ]
    assert alerts.count_open(at=TUESDAY) == 2
    assert crossed.title.startswith("support, June 2026: ")
    [(name, standing, _)] = found["Budgets at risk"]["bars"]
    assert (name, standing.split(":")[0]) == ("support", "June 2026")
    assert dict(facts["rows"])["Not delivered"] == f"{ops.name}: 1 given up"


def test_a_channel_that_chooses_hears_of_its_teams_and_budgets_only(house):
    support, platform = make_team("support"), Team.objects.get(name="platform")
    of_support = make_budget(name="support", scope={"team": ["support"]}, unit="usd", at=NOON, amount=Decimal(1))
    of_review = make_budget(name="review", scope={"use_case": ["code-review"]}, unit="usd", at=NOON, amount=Decimal(1))
    make_alert(title="of support", team_ids=[support.pk], budget_id=of_support.pk, at=NOON)
    make_alert(title="of platform", team_ids=[platform.pk], budget_id=of_review.pk, at=NOON)
    sources = Sources(at=TUESDAY, zone=ZONE)

    by_team = sources.daily(Coverage(teams=frozenset({support.pk})))
    by_budget = sources.daily(Coverage(budgets=frozenset({of_review.pk})))

    assert (by_team.now.cost_usd, [one.title for one in by_team.alerts]) == (12, ["of support"])
    assert (by_budget.now.cost_usd, [one.title for one in by_budget.alerts]) == (2, ["of platform"])
    assert (by_team.about, by_budget.about) == (("team support",), ("budget review",))
    assert [one.name for one in by_budget.use_cases] == ["code-review"]


@pytest.mark.django_db
def test_a_day_without_anything_is_one_line_and_a_sign_of_life():
    told = Sources(at=TUESDAY, zone=ZONE).daily(Coverage())

    title, facts = digest_words.daily(told, zone=ZONE)

    assert title == "Daily digest of Monday 15 June: nothing happened"
    assert "shows that digests still go out" in facts["summary"]
    assert not facts.get("sections")


def test_the_weekly_digest_tells_what_changed_and_why(house):
    make_alert(kind="spend_unusual", at=TUESDAY)

    title, facts = digest_words.weekly(Sources(at=MONDAY, zone=ZONE).weekly(Coverage()), zone=ZONE)

    found = sections(facts)
    assert title == "Weekly digest of 15 to 21 June: $14.00 spent, 1 alert open"
    assert found["Alerts of the week"]["rows"] == [["Unusual spend", "1 raised, 1 open"]]
    assert facts["summary"].startswith(f"The week cost $14.00, 40.0{GAP}% more than the week before.")
    assert [bar[:2] for bar in found["By team"]["bars"]] == [
        ["support", "$12.00 (+$6.00)"], ["platform", "$2.00 (-$2.00)"],
    ]  # fmt: skip
    assert [bar[:2] for bar in found["By tier"]["bars"]] == [
        ["frontier", "$12.00 (+$2.00)"], ["middle", "$2.00 (+$2.00)"],
    ]  # fmt: skip
    assert found["What changed most"]["rows"] == [
        ["support-routing", "$6.00 more: +$6.00 for more requests"],
        ["code-review", "$2.00 less: -$2.00 for other models"],
    ]


def test_the_parts_of_a_change_add_up_to_it():
    def cell(span, model, requests, cost):
        sums = Sums(requests=requests, cost_usd=Decimal(cost))
        return SpanCell(span=span, team_id=1, team="t", use_case="u", model=model, tier="frontier", sums=sums)

    (one,) = changes([cell(1, "a", 7, "7.7"), cell(1, "b", 3, "0.9"), cell(0, "a", 5, "6"), cell(0, "c", 11, "1.1")])

    assert one.volume_usd == Decimal("8.6") * 16 / 10 - Decimal("8.6")
    assert one.per_request_usd == Decimal("6") - Decimal("7.7") * 5 / 7
    assert abs(one.volume_usd + one.mix_usd + one.per_request_usd - (one.now_usd - one.before_usd)) < Decimal("1e-20")


def test_more_channels_ask_no_more_questions(house):
    make_budget(scope={"team": ["support"]}, zone=ZONE)
    for _ in range(2):
        make_channel(digests=["daily", "weekly"], teams=[1])
    digests.send_due(at=MONDAY - timedelta(weeks=2))  # what is remembered of budgets

    with CaptureQueriesContext(connection) as few:
        digests.send_due(at=MONDAY)
    for _ in range(6):
        make_channel(digests=["daily", "weekly"], teams=[1])
    with CaptureQueriesContext(connection) as many:
        digests.send_due(at=MONDAY + timedelta(weeks=1))

    with CaptureQueriesContext(connection) as none:
        digests.send_due(at=MONDAY + timedelta(weeks=1))

    assert len(none) == 3
    reads = [[one["sql"] for one in each if one["sql"].lstrip()[:6] in ("SELECT", "WITH s")] for each in (few, many)]
    of_digests = [[sql for sql in each if "alerts_channel" not in sql] for each in reads]
    assert len(of_digests[0]) == len(of_digests[1])
    assert len(few) <= 50


@pytest.mark.django_db(transaction=True)
def test_it_arrives_as_a_letter_whose_bars_need_no_style(mailoutbox):
    make_priced_offering()
    book(call(usd=6, at=NOON), call(usd=3, at=NOON, use_case="code-review"))
    make_channel(digests=["daily"], digest_hour=6)

    digests.send_due(at=TUESDAY)
    deliveries.deliver_due(at=TUESDAY, limit=10)

    (mail,) = mailoutbox
    ((html, _),) = mail.alternatives
    assert mail.subject == "[Info] Daily digest of Monday 15 June: $9.00 spent"
    assert "support-routing ████████████████████ $6.00" in mail.body
    assert "code-review     ██████████░░░░░░░░░░ $3.00" in mail.body
    assert "/spend/?from=2026-06-15&to=2026-06-15&by=use_case" in mail.body
    assert re.findall(r'<td[^>]*width="50%"[^>]*bgcolor="#[0-9a-f]{6}"', html)
