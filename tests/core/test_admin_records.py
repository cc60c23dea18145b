"""What the admin shows of the house's records: to whom, without secrets, and with how many queries."""

from __future__ import annotations

import html

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alerts.models import Channel
from core.models import ApiKey, AuditEntry, Job, User
from tests.core.test_admin_walk import fill_in
from tests.dashboards.seeing import book, call
from tests.factories import NOON, make_key, make_user
from tests.usage import making
from usage.models import Receipt

pytestmark = pytest.mark.django_db(transaction=True)

ROLES = ("viewer", "finance", "engineer", "approver", "platform", "admin")
# What not everybody who looks may see.
NARROWER = {
    "core.User": {"admin"},
    "core.AuditEntry": {"admin"},
    "core.ApiKey": {"platform", "admin"},
    "catalog.GatewayKey": {"platform", "admin"},
}
# What no page needs; a person's hash is loaded with whoever is signed in.
NEVER_LOADED = ('"core_apikey"."digest"', '"alerts_channel"."secret"', '"receipt"."events"')


def as_person(*roles: str, **overrides: object) -> Client:
    client = Client()
    client.force_login(make_user(*roles, **overrides))
    return client


def addresses() -> dict[str, str]:
    """Return the list of every model that is shown."""
    return {
        model._meta.label: f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry
    }


def test_everybody_with_a_role_enters_and_sees_what_the_table_says():
    seen = {}
    for role in ROLES:
        client = as_person(role)
        for label, address in addresses().items():
            if client.get(address).status_code == 200:
                seen.setdefault(label, set()).add(role)

    assert seen == {label: NARROWER.get(label, set(ROLES)) for label in addresses()}


@pytest.mark.parametrize("overrides", [{}, {"is_staff": True}])
def test_whoever_holds_no_role_stays_outside_also_as_staff(overrides):
    stranger = as_person(**overrides)

    answers = {stranger.get(address).status_code for address in ("/admin/", *addresses().values())}

    assert answers == {403}


def test_whoever_is_not_signed_in_is_sent_to_the_one_way_in():
    client = Client()

    first = client.get("/admin/core/job/")
    second = client.get(first.url)

    assert first.url == "/admin/login/?next=/admin/core/job/"
    assert second.url == "/accounts/login/?next=%2Fadmin%2Fcore%2Fjob%2F"
    person = make_user("viewer", password="correct horse battery")
    posted = client.post("/admin/login/", {"username": person.email, "password": "correct horse battery"})
    assert (posted.status_code, "_auth_user_id" in client.session) == (302, False)


def test_passwords_are_changed_in_the_console_only():
    person = make_user("viewer", password="correct horse battery")
    client = Client()
    client.force_login(person)

    new = "a longer one 99"
    for path in ("password_change/", "password_change/done/"):
        given = {"old_password": "correct horse battery", "new_password1": new, "new_password2": new}
        answer = client.post(f"/admin/{path}", given)
        assert answer.url == reverse("account_change_password")

    assert User.objects.get().check_password("correct horse battery")


def test_every_list_and_every_row_and_its_history_can_be_looked_at_and_show_no_secret():
    fill_in()
    client = as_person("admin")
    digest, channel = bytes(ApiKey.objects.first().digest), Channel.objects.get()
    password = User.objects.get(roles=["admin"]).password
    secrets = [digest.hex(), str(digest), bytes(channel.secret).decode(), str(bytes(channel.secret)), password]

    for model in admin.site._registry:
        address = addresses()[model._meta.label]
        row = model._default_manager.order_by("-pk").first()
        places = [address, f"{address}?q=a"]
        if row is not None:
            places += [f"{address}{row.pk}/change/", f"{address}{row.pk}/history/"]
        for place in places:
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(place)
            assert answer.status_code == 200, place
            text = html.unescape(answer.content.decode())
            assert not [secret for secret in secrets if secret in text], place
            assert not [one["sql"] for one in asked for column in NEVER_LOADED if column in one["sql"]], place

    assert not LogEntry.objects.exists()


def test_strange_questions_are_answered_without_an_error():
    fill_in()
    client = as_person("admin")

    questions = ("p=99999", "p=x", "o=99&e=1", "q=%00", "state__exact=%00", "id__in=x&nothing=1")
    for address in addresses().values():
        for question in questions:
            answer = client.get(f"{address}?{question}")
            assert answer.status_code in (200, 302, 400), (address, question)
        for row in ("0", "x", "9" * 30, "%00"):
            answer = client.get(f"{address}{row}/change/")
            assert answer.status_code in (302, 404), (address, row)
        assert client.get(f"{address}x/history/").status_code in (302, 404)
    person = User.objects.get(roles=["admin"])
    for before in ("x", "-1", "9" * 40, "%00"):
        assert client.get(f"/admin/core/user/{person.pk}/history/?before={before}").status_code == 200


def test_receipts_are_found_by_their_number_and_nothing_else_breaks_the_search():
    making.make_priced_offering()
    book(call(at=NOON))
    receipt = Receipt.objects.get()
    client = as_person("viewer")

    for term, found in ((str(receipt.pk), True), ("0", False), ("x", False), ("9" * 5000, False), ("²", False)):
        answer = client.get("/admin/usage/receipt/", {"q": term})
        assert (f"/receipt/{receipt.pk}/change/" in answer.content.decode()) is found


def test_a_big_table_is_not_counted_to_its_end():
    Job.objects.create(kind="spend", run_after=NOON, created_at=NOON)
    client = as_person("viewer")

    with CaptureQueriesContext(connection) as asked:
        client.get("/admin/core/job/")

    counts = [one["sql"] for one in asked if "COUNT(" in one["sql"] and "core_job" in one["sql"]]
    assert len(counts) == 1
    assert "LIMIT 10000" in counts[0]


def test_lists_ask_as_often_however_many_rows_there_are():
    fill_in()
    client = as_person("admin")
    # Session, person, count, rows; one more for the choices of a filter.
    more = {"catalog.Offering": 1, "catalog.PriceSeries": 1, "catalog.Price": 1, "usage.Source": 1}
    more |= {"usage.DroppedPartition": 1}
    more |= {"routing.Proposal": 1, "routing.Version": 1, "routing.StateRevision": 1, "routing.Order": 1}

    def asked() -> dict[str, int]:
        found = {}
        for label, address in addresses().items():
            with CaptureQueriesContext(connection) as queries:
                client.get(address)
            found[label] = len(queries)
        return found

    before = asked()
    for number in range(3):
        making.make_offering(f"model-{number}@provider-{number}", uncached_input="1")
        make_key("read", gateway=f"gateway-{number}", name=f"key {number}")
    book(*(call(at=NOON, use_case=f"use-case-{number}", team=f"team-{number}") for number in range(3)))

    assert before == {label: 4 + more.get(label, 0) for label in addresses()}
    assert asked() == before


def test_the_history_of_a_row_says_who_changed_what_and_why_and_pages_on():
    client = as_person("admin")
    key = make_key("read")
    assert key
    row = ApiKey.objects.get()
    for number in range(60):
        ApiKey.objects.filter(pk=row.pk).update(name=f"name {number}")

    first = client.get(f"/admin/core/apikey/{row.pk}/history/")
    oldest = AuditEntry.objects.filter(table="core_apikey").order_by("-id")[49]
    second = client.get(f"/admin/core/apikey/{row.pk}/history/?before={oldest.pk}")

    assert "<strong>name</strong> <del>name 58</del> <ins>name 59</ins>" in first.content.decode()
    assert "SQL by hand" in first.content.decode()
    assert f'href="?before={oldest.pk}"' in first.content.decode()
    assert "name 9" in second.content.decode()
    assert "tests" in second.content.decode()
    assert "Older entries" not in second.content.decode()


def test_the_menu_of_the_console_leads_here_and_back():
    client = as_person("viewer")
    stranger = as_person()

    assert 'href="/admin/"' in client.get("/").content.decode()
    assert 'href="/admin/"' not in stranger.get("/").content.decode()
    assert '<a href="/">Back to the console</a>' in client.get("/admin/").content.decode()
