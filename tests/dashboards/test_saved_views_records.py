"""What the database refuses of saved views."""

from __future__ import annotations

import pytest

from core.models import User
from dashboards.models import SavedView
from tests.core.test_core_records import refused
from tests.factories import NOON

pytestmark = pytest.mark.django_db


def make(owner: User, **given: str) -> SavedView:
    return SavedView.objects.create(owner=owner, changed_at=NOON, **({"page": "spend", "name": "Ours"} | given))


def test_a_name_is_given_once_by_each_owner():
    owner, other = User.objects.create_user("a@example.com"), User.objects.create_user("b@example.com")
    make(owner)

    make(other)

    refused("dashboards_savedview_once", lambda: make(owner, name="OURS"))


def test_a_view_has_a_name_and_is_of_a_page_that_is_known():
    owner = User.objects.create_user("a@example.com")

    refused("dashboards_savedview_named", lambda: make(owner, name=""))
    refused("dashboards_savedview_page_known", lambda: make(owner, page="weather"))
