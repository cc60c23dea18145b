"""Our own sums: the last check, what differs, making it anew, how long the ledger is kept; the API of checks."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import periods
from core.models import AuditEntry, Job, Organisation
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_key
from tests.usage import making
from usage.models import Rebuild, Reconciliation
from usage.services import jobs, months, reconciling

pytestmark = pytest.mark.django_db
NOW = timezone.now()
TODAY = NOON = NOW.date()
PAGE, RETENTION = "/reconciliation/sums/", "/reconciliation/retention/"


@pytest.fixture
def booked():
    making.make_priced_offering()
    book(call(at=NOW, usd=5, use_case="hostile " + HOSTILE), at=NOW)


def check():
    return reconciling.run_now(first=None, last=None, by="manage.py reconcile", clock=lambda: NOW)


def spoil():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rollup_day SET requests = requests + 16")


def run_jobs():
    while jobs.run_next(clock=timezone.now):
        pass


def text(answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


# --- the page ---


def test_before_the_first_check_the_page_says_when_it_comes(client):
    signed_in(client, "viewer")

    answer = client.get(PAGE)

    assert answer.status_code == 200
    assert "Nothing was checked yet" in text(answer)
    assert "Rebuild these days" not in text(answer)


@pytest.mark.usefixtures("booked")
def test_a_check_that_found_nothing_says_so(client):
    check()
    signed_in(client, "viewer")

    said = text(client.get(PAGE))

    assert "Every sum is what the ledger says" in said
    assert "2 sums were compared with 1 entries" in said


@pytest.mark.usefixtures("booked")
def test_a_difference_is_shown_with_what_which_held_ledger_and_what_to_do(client):
    spoil()
    found = check()
    signed_in(client, "viewer")

    said = text(client.get(PAGE))

    assert "1 sum differs from the ledger" in said
    assert "requests 17 1" in said
    assert "hostile &lt;script&gt;" in said
    assert f"{TODAY} 1 by day" in said
    assert f"/spend/?from={TODAY}&amp;to={TODAY}&amp;use_case=hostile" in client.get(PAGE).content.decode()
    assert f"rebuild_rollups --from {TODAY} --to {TODAY + timedelta(days=1)}" in said
    assert text(client.get(f"{PAGE}?check={found.pk}")).count("1 sum differs") == 1


@pytest.mark.usefixtures("booked")
def test_an_earlier_check_is_shown_by_its_number(client):
    spoil()
    found = check()
    Reconciliation.objects.create(
        first_day=TODAY, last_day=TODAY, full=True, started_at=NOW, finished_at=NOW, by="Tollkeeper"
    )
    signed_in(client, "viewer")

    assert "Every sum is what" in text(client.get(PAGE))
    assert "1 sum differs" in text(client.get(f"{PAGE}?check={found.pk}"))


@pytest.mark.parametrize("query", ["check=0", "check=x", "check=99", "before=-1", "what=1", "check=" + "9" * 30])
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"{PAGE}?{query}").status_code == 404


def test_a_check_that_failed_says_why(client):
    Job.objects.create(kind="reconcile", state="failed", error="OSError: full", run_after=NOW, created_at=NOW)
    signed_in(client, "viewer")

    assert "could not be done: OSError: full" in text(client.get(PAGE))


@pytest.mark.usefixtures("booked")
def test_the_page_costs_the_same_however_much_differs(client):
    spoil()
    check()
    signed_in(client, "admin")
    client.get(PAGE)
    with CaptureQueriesContext(connection) as few:
        client.get(PAGE)
    (checked,) = Reconciliation.objects.values()
    Reconciliation.objects.bulk_create(Reconciliation(**{**checked, "id": None}) for _ in range(25))
    with CaptureQueriesContext(connection) as many:
        answer = client.get(PAGE)

    assert len(few) == len(many) == 12
    assert "Earlier checks" in text(answer)


# --- rebuilding and checking from it ---


@pytest.mark.usefixtures("booked")
def test_an_admin_has_the_days_rebuilt_and_finds_them_right(client):
    spoil()
    check()
    admin = signed_in(client, "admin")

    answer = client.post(f"{PAGE}rebuild/", {"first": TODAY, "last": TODAY, "reason": "found at night"}, follow=True)
    assert "The rebuild is in line" in text(answer)
    run_jobs()

    done = Rebuild.objects.get()
    assert (done.by, done.reason, done.mended) == (admin.email, "found at night", {str(TODAY): {"rollup_day": 1}})
    assert AuditEntry.objects.filter(table="usage_rebuild", actor=admin.email).exists()
    said = text(client.get(PAGE))
    assert "Every sum is what the ledger says" in said
    assert "found at night" in said


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"first": TODAY, "last": TODAY}, "Say why"),
        ({"first": TODAY, "last": TODAY - timedelta(days=1), "reason": "r"}, "comes before the first"),
        ({"first": "never", "last": "", "reason": "r"}, "Enter a valid date"),
    ],
)
def test_a_rebuild_that_cannot_be_is_refused_at_its_field(client, given, why):
    signed_in(client, "admin")

    answer = client.post(f"{PAGE}rebuild/", given)

    assert answer.status_code == 422
    assert why in text(answer)
    assert not Rebuild.objects.exists()


def test_an_admin_asks_for_a_check_and_one_that_waits_is_enough(client):
    signed_in(client, "admin")

    said = [text(client.post(f"{PAGE}check/", follow=True)) for _ in range(2)]

    assert "The check is in line." in said[0]
    assert "A check is in line already." in said[1]
    assert Job.objects.filter(kind="reconcile").count() == 1


@pytest.mark.parametrize("address", [f"{PAGE}rebuild/", f"{PAGE}check/", RETENTION])
def test_others_may_look_and_nothing_more(client, address):
    signed_in(client, "finance", "engineer", "approver", "platform")

    assert client.post(address, {"first": TODAY, "last": TODAY, "reason": "r"}).status_code == 403
    assert not Job.objects.exists()
    assert "Somebody who is admin changes this" in text(client.get(RETENTION))


@pytest.mark.parametrize("address", [PAGE, RETENTION])
def test_a_stranger_is_sent_to_sign_in(client, address):
    assert client.get(address).status_code == 302


# --- retention ---


def close_until(label: date) -> None:
    months.close_month(label=label, by="finance@example.com", at=NOW)


def test_retention_is_changed_in_two_steps_that_say_what_goes(client):
    old = periods.add_months(TODAY.replace(day=1), -14)
    making.make_priced_offering()
    at = timezone.make_aware(timezone.datetime(old.year, old.month, 10))
    book(call(at=at), at=at)
    close_until(old)
    signed_in(client, "admin")
    given = {"keep_ledger_months": "13", "keep_receipts_days": "60", "reason": "our policy"}

    answer = client.post(RETENTION, given)
    assert f"1 month of the ledger is dropped within the hour: {old:%B %Y}" in text(answer)
    assert Organisation.objects.get().keep_ledger_months is None
    (confirm,) = re.findall(r'name="confirm" value="(\w+)"', answer.content.decode())
    changed = client.post(RETENTION, {**given, "keep_ledger_months": "12", "confirm": confirm})
    assert Organisation.objects.get().keep_ledger_months is None, "confirmed is only what was shown"
    assert "This cannot be undone" in text(changed)

    said = text(client.post(RETENTION, {**given, "confirm": confirm}, follow=True))

    assert "The ledger keeps the running month and 13 before it" in said
    organisation = Organisation.objects.get()
    assert (organisation.keep_ledger_months, organisation.keep_receipts_days) == (13, 60)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"keep_ledger_months": "11", "keep_receipts_days": "60", "reason": "r"}, "Keep at least 12 months"),
        ({"keep_ledger_months": "", "keep_receipts_days": "60"}, "Say why"),
        ({"keep_ledger_months": "x", "keep_receipts_days": "1", "reason": "r"}, "Enter a whole number"),
    ],
)
def test_retention_that_cannot_be_is_refused_at_its_field(client, given, why):
    signed_in(client, "admin")

    answer = client.post(RETENTION, given)

    assert answer.status_code == 422
    assert why in text(answer)


# --- the API ---


@pytest.mark.usefixtures("booked")
def test_the_api_lists_checks_and_gives_one_with_its_differences(client):
    spoil()
    found = check()
    asking = {"headers": {"authorization": f"Bearer {make_key('read')}"}}

    (row,) = client.get("/api/v1/checks", **asking).json()["results"]
    one = client.get(f"/api/v1/checks/{found.pk}", **asking).json()

    assert (row["id"], row["state"], row["days"]) == (found.pk, "differs", {str(TODAY): {"rollup_day": 1}})
    (difference,) = one["differences"]
    assert (difference["what"], difference["day"]) == ("rollup_day", str(TODAY))
    assert (difference["held"], difference["recounted"]) == ({"requests": 17}, {"requests": 1})
    assert difference["which"]["gateway"] == "edge"


def test_the_api_refuses_who_may_not_read_and_what_is_not_there(client):
    stranger = {"headers": {"authorization": f"Bearer {make_key('usage:write', name='sender')}"}}
    reader = {"headers": {"authorization": f"Bearer {make_key('read')}"}}

    assert client.get("/api/v1/checks", **stranger).status_code == 403
    assert client.get("/api/v1/checks").status_code == 401
    assert client.get("/api/v1/checks/99", **reader).status_code == 404
