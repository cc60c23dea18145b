"""Constraints and guards of core's tables, each broken once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, ProgrammingError, connection, transaction

from core.models import ApiKey, AuditEntry, Job, Organisation, User
from tests.factories import NOON, make_team

pytestmark = pytest.mark.django_db


def refused(said, call):
    with pytest.raises((IntegrityError, ProgrammingError), match=said), transaction.atomic():
        call()


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


def key(**overrides):
    given = {"name": "edge", "prefix": "tk_x", "digest": b"1" * 32, "scopes": ["read"], "created_at": NOON}
    return ApiKey.objects.create(**{**given, **overrides})


def job(**overrides):
    return Job.objects.create(**{"kind": "x", "run_after": NOON, "created_at": NOON, **overrides})


def test_there_is_one_organisation():
    refused("core_organisation_is_one", lambda: Organisation.objects.create(id=2))


def test_the_organisation_stays():
    refused("Cannot delete rows", lambda: sql("DELETE FROM core_organisation"))

    assert Organisation.objects.count() == 1


def test_at_most_8_tags_are_declared():
    tags = [f"tag {number}" for number in range(9)]

    Organisation.objects.update(declared_tags=tags[:8])

    refused("core_organisation_tags_at_most_8", lambda: Organisation.objects.update(declared_tags=tags))


@pytest.mark.parametrize(
    "goals",
    [
        {"frontier_goal_percent": 101}, {"frontier_goal_from_percent": -1}, {"open_weights_goal_percent": 101},
        {"open_weights_goal_percent": -1}, {"frontier_goal_percent": 4},
    ],
)  # fmt: skip
def test_goals_are_shares_and_the_lower_one_comes_first(goals):
    refused("core_organisation_goals_are_shares", lambda: Organisation.objects.update(**goals))


@pytest.mark.parametrize("zone", ["Mars/Base", "+01:00", "CEST", ""])
def test_a_zone_is_one_of_the_iana_database(zone):
    with pytest.raises(ValidationError, match="zone"):
        Organisation(name="x", zone=zone).full_clean()


@pytest.mark.parametrize("scopes", [[], ["read", "everything"]])
def test_a_key_has_scopes_that_are_known(scopes):
    refused("core_apikey_scopes_known", lambda: key(scopes=scopes))


def test_a_digest_belongs_to_one_key():
    key()

    refused("core_apikey_digest_once", key)


def test_a_person_s_address_is_kept_in_lower_case():
    refused("core_user_email_lower", lambda: User.objects.create(email="Ann@example.com"))


def test_a_person_has_known_roles():
    refused("core_user_roles_known", lambda: User.objects.create(email="ann@example.com", roles=["king"]))


def test_a_job_has_a_known_state():
    refused("core_job_state_known", lambda: job(state="asleep"))


def test_the_same_work_waits_once_and_may_be_asked_for_again_when_it_runs():
    first = job(dedupe_key="export 7")

    refused("core_job_waits_once", lambda: job(dedupe_key="export 7"))
    Job.objects.filter(pk=first.pk).update(state="running", leased_until=NOON + timedelta(seconds=30))
    job(dedupe_key="export 7")

    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    "statement",
    ["UPDATE core_auditentry SET reason = 'else'", "DELETE FROM core_auditentry", "TRUNCATE core_auditentry CASCADE"],
)
def test_the_audit_trail_stays_as_it_was_written(statement):
    make_team()

    refused("core_auditentry is refused: its rows never change", lambda: sql(statement))

    assert AuditEntry.objects.filter(table="catalog_team", reason="").exists()
