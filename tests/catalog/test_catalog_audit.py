"""The audit trail of the catalogue, and the number by which caches see that it changed: the database writes both."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection, transaction

from catalog.models import Offering, Provider, Revision, Team, UseCase
from catalog.services import aliases, gateways, offerings, on_sight, teams, use_cases
from core.models import ApiKey, AuditEntry, User
from core.services import audit, keys
from tests.catalog.making import JANUARY, MAY, make_offering, set_price
from tests.factories import NOON, make_team, make_use_case

DAY = timedelta(days=1)


def trail(**filters):
    found = AuditEntry.objects.filter(**filters).order_by("id")
    return [(one.table, one.operation, one.actor, one.reason) for one in found]


def newest():
    return AuditEntry.objects.latest("id")


def revision():
    return Revision.objects.get().number


@pytest.mark.django_db
def test_a_price_names_who_set_it_and_why_also_where_its_offering_is_made_with_it():
    set_price("5", provider="acme", model="large-1", by="ann@example.com", note="new on the list")

    assert trail(table__in=["catalog_price", "catalog_priceseries"]) == [
        ("catalog_priceseries", "insert", "ann@example.com", "new on the list"),
        ("catalog_price", "insert", "ann@example.com", "new on the list"),
    ]


@pytest.mark.django_db
def test_a_corrected_price_leaves_what_was_held_before_and_what_after():
    set_price("5")
    set_price("6", valid_from=MAY, by="ann@example.com", note="their announcement", at=NOON + DAY)

    closed = AuditEntry.objects.get(table="catalog_price", operation="update")
    assert (closed.actor, closed.reason) == ("ann@example.com", "their announcement")
    assert closed.before["recorded"].endswith(",)")
    assert closed.after == {**closed.before, "recorded": closed.after["recorded"]}
    assert not closed.after["recorded"].endswith(",)")
    assert {one.transaction for one in AuditEntry.objects.filter(reason="their announcement")} == {closed.transaction}


@pytest.mark.django_db
def test_claiming_a_use_case_gives_its_reason_for_all_that_it_changes():
    waiting = make_use_case("new-thing", state="waiting", first_seen_at=JANUARY)
    team = make_team()

    use_cases.claim(use_case=waiting, owner="ann", team=team, by="ann@example.com", at=NOON, reason="it is ours")

    assert trail(actor="ann@example.com") == [
        ("catalog_usecase", "update", "ann@example.com", "it is ours"),
        ("catalog_usecaseteam", "insert", "ann@example.com", "it is ours"),
    ]


@pytest.mark.django_db
def test_a_bulk_update_leaves_an_entry_for_each_row():
    make_team("one")
    make_team("two")

    with transaction.atomic():
        audit.acting(by="ann@example.com", reason="tidying")
        Team.objects.filter(folded__in=["one", "two"]).update(state="waiting")

    assert trail(operation="update") == [("catalog_team", "update", "ann@example.com", "tidying")] * 2
    assert {one.before["state"] + one.after["state"] for one in AuditEntry.objects.filter(operation="update")} == {
        "claimedwaiting"
    }


@pytest.mark.django_db(transaction=True)
def test_raw_sql_is_in_the_trail_too_with_nobody_s_name():
    team = make_team("one")
    teams.change(team=team, name="first", by="ann@example.com", at=NOON)

    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_team SET name = 'ours' WHERE id = %s", [team.pk])

    assert (newest().table, newest().row, newest().actor) == ("catalog_team", str(team.pk), "")
    assert (newest().before["name"], newest().after["name"]) == ("first", "ours")


@pytest.mark.django_db
def test_a_row_that_is_removed_stays_in_the_trail():
    alias = aliases.assign(name="gpt", offering=make_offering(), by="ann", since_at=MAY)

    aliases.end(alias=alias, by="bob", at=JANUARY, reason="never meant")

    assert (newest().operation, newest().actor, newest().reason, newest().after) == (
        "delete",
        "bob",
        "never meant",
        None,
    )
    assert newest().before["name"] == "gpt"


@pytest.mark.django_db
def test_an_update_that_changes_nothing_leaves_no_entry():
    make_team("one")
    before = AuditEntry.objects.count()

    Team.objects.filter(folded="one").update(name="one")

    assert AuditEntry.objects.count() == before


@pytest.mark.django_db
def test_an_actor_is_needed_in_a_transaction_only():
    with transaction.atomic():
        audit.acting(by="ann@example.com")


@pytest.mark.django_db(transaction=True)
def test_an_actor_outside_of_a_transaction_is_a_mistake():
    with pytest.raises(RuntimeError, match="holds for a transaction"):
        audit.acting(by="ann@example.com")


@pytest.mark.django_db
def test_the_trail_never_holds_a_secret_a_digest_or_a_password():
    secret = gateways.create_key(name="edge key", gateway="edge", scopes=["read"], by="ann", at=NOON)
    rotated = gateways.rotate_key(key=ApiKey.objects.get(), by="ann", at=NOON, reason="leaked")
    user = User.objects.create_user("ann@example.com", "correct horse battery staple")
    was = user.password
    user.set_password("another long password")
    user.save()

    told = json.dumps(list(AuditEntry.objects.values("before", "after", "reason", "row")), default=str)

    assert {one.table for one in AuditEntry.objects.all()} >= {"core_apikey", "core_user", "catalog_gatewaykey"}
    hidden = [secret, rotated, was, user.password, "correct horse", "another long", "digest", "password", "md5"]
    hidden += [keys.digest_of(one).hex() for one in (secret, rotated)]
    assert [one for one in hidden if one in told] == []


@pytest.mark.django_db
def test_a_new_password_is_in_the_trail_as_a_change_without_it():
    user = User.objects.create_user("ann@example.com", "correct horse battery staple")

    user.set_password("another long password")
    user.save()

    assert (newest().table, newest().operation, newest().row) == ("core_user", "update", str(user.pk))
    assert newest().before == newest().after


@pytest.mark.django_db
def test_mere_use_of_a_key_does_not_bury_the_changes():
    gateways.create_key(name="edge key", gateway="edge", scopes=["read"], by="ann", at=NOON)
    before = AuditEntry.objects.count()

    ApiKey.objects.update(last_used_at=NOON)

    assert AuditEntry.objects.count() == before


CHANGES = {
    "price": lambda: set_price("6", offering=make_offering()),
    "alias": lambda: aliases.assign(name="gpt", offering=make_offering(), by="tests", since_at=MAY),
    "tier": lambda: offerings.set_tier(offering=make_offering(), tier=1, since_at=MAY, by="tests"),
    "default": lambda: make_offering("known@acme", default=True),
    "retired": lambda: offerings.retire(offering=make_offering(), by="tests", at=NOON),
    "renamed team": lambda: teams.change(team=make_team("known"), name="renamed", by="tests", at=NOON),
    "team's alias": lambda: teams.add_alias(team=make_team("known"), label="other", since_at=MAY, by="tests"),
    "use case": lambda: use_cases.change(use_case=make_use_case("known"), title="else", by="tests"),
    "use case's alias": lambda: use_cases.add_alias(
        use_case=make_use_case("known"), label="other", since_at=MAY, by="tests"
    ),
    "use case's team": lambda: use_cases.assign_team(
        use_case=make_use_case("known"), team=make_team("known"), since_at=MAY, by="tests"
    ),
    "gateway": lambda: gateways.create(name="edge", by="tests", at=NOON),
    "raw SQL": lambda: connection.cursor().execute("UPDATE catalog_provider SET title = title"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("change", CHANGES)
def test_the_revision_moves_with_a_change_that_bookings_must_see(change):
    make_offering()
    make_offering("known@acme", default=False)
    make_team("known")
    make_use_case("known")
    before = revision()

    CHANGES[change]()

    assert revision() > before


@pytest.mark.django_db
def test_the_revision_stays_where_nothing_is_changed():
    set_price("5")
    before = revision()

    set_price("5")

    assert revision() == before


@pytest.mark.django_db
def test_rows_that_booking_makes_on_sight_leave_the_revision_alone():
    before = revision()

    on_sight.labels(kind="use_case", names={"new-thing": "New-Thing"}, at=NOON)
    on_sight.labels(kind="team", names={"new-team": "New-Team"}, at=NOON)
    on_sight.offerings(names=["kimi-k3@moonshot"], at=NOON)

    assert revision() == before
    assert UseCase.objects.get(folded="new-thing").state == Team.objects.get(folded="new-team").state == "waiting"
    assert Offering.objects.get(name="kimi-k3@moonshot").state == "waiting"
    assert Provider.objects.filter(name="moonshot").exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_takes_its_trail_and_revision_along():
    before = (revision(), AuditEntry.objects.count())

    with transaction.atomic():
        teams.create(name="support", by="tests", at=NOON)
        gateways.create(name="edge", by="tests", at=NOON)
        transaction.set_rollback(True)

    assert (revision(), AuditEntry.objects.count()) == before
