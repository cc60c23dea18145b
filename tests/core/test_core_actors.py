"""Whoever set something going is asked about again when it is carried out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.models import ApiKey, User
from core.selectors import actors
from tests.factories import NOON, make_key, make_user

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def why_not(label: str, action: str = "rules.publish") -> str:
    return actors.why_not(label=label, action=action, at=NOON)


def test_whoever_holds_a_role_that_allows_it_may(django_assert_num_queries):
    make_user("engineer", email="ann@example.com")

    with django_assert_num_queries(1):
        assert why_not("ann@example.com") == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"roles": []}, "holds no role any more that lets her publish what is approved"),
        ({"roles": ["finance"]}, "holds no role any more"),
        ({"is_active": False}, "is not active any more"),
        ({"email": "new@example.com"}, "There is nobody called ann@example.com"),
    ],
)
def test_who_may_not_any_more_is_told_why(change, says):
    make_user("engineer", email="ann@example.com")
    User.objects.update(**change)

    assert says in why_not("ann@example.com")


@pytest.mark.parametrize(
    ("change", "works"),
    [
        ({}, True),
        ({"revoked_at": NOON}, False),
        ({"revoked_at": NOON + SECOND}, True),
        ({"expires_at": NOON}, False),
        ({"expires_at": NOON + SECOND}, True),
        ({"scopes": ["write"]}, False),
        ({"name": "other"}, False),
    ],
)
def test_a_key_may_while_it_works_and_has_the_scope(change, works):
    make_key("admin", name="ci")
    ApiKey.objects.update(**change)

    assert (why_not("key:ci") == "") is works


def test_a_key_is_no_person_and_a_process_neither():
    make_user("admin", email="ci")

    assert "No key called ci" in why_not("key:ci")
    assert "nobody called manage.py" in why_not("manage.py")
