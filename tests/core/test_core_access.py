"""The table of roles, scopes and actions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser

from core import access
from core.models import ROLES, SCOPES, User

README = Path(access.__file__).with_name("README.md")


def person(*roles: str, **given: object) -> User:
    return User(email="someone@example.com", roles=list(roles), **given)


def key(*scopes: str) -> access.Caller:
    return access.Caller(
        key_id=1, name="edge", scopes=scopes, gateway_id=None, gateway=None, environment="", expires_at=None,
        last_used_at=None,
    )  # fmt: skip


def test_the_readme_shows_the_same_table():
    line = re.compile(r"^\| `([a-z.]+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
    shown = {}
    for action, does, roles, scopes in line.findall(README.read_text()):
        named = set(ROLES) if roles == "all" else set(roles.split(", "))
        shown[action] = (does, named, set(re.findall(r"`([a-z:]+)`", scopes)))

    assert shown == {action: (each.does, set(each.roles), set(each.scopes)) for action, each in access.ACTIONS.items()}


def test_the_table_knows_only_roles_and_scopes_that_exist():
    assert {role for grant in access.ACTIONS.values() for role in grant.roles} == set(ROLES)
    assert {scope for grant in access.ACTIONS.values() for scope in grant.scopes} == set(SCOPES)


@pytest.mark.parametrize("action", access.ACTIONS)
def test_an_action_is_for_the_roles_and_scopes_of_its_line_and_for_no_stranger(action):
    grant = access.ACTIONS[action]

    assert {role for role in ROLES if access.may(person(role), action)} == grant.roles
    assert {scope for scope in SCOPES if access.may(key(scope), action)} == grant.scopes
    assert access.may(person(is_superuser=True), action)
    for stranger in (person(), key(), AnonymousUser(), None, person("admin", is_active=False)):
        assert not access.may(stranger, action)


def test_roles_add_up():
    assert access.may(person("viewer", "platform"), "channels.edit")


@pytest.mark.django_db
def test_templates_and_views_ask_the_same_table_by_permission():
    engineer = User.objects.create_user("engineer@example.com", roles=["engineer"])

    assert engineer.has_perm("budgets.edit")
    assert not engineer.has_perm("months.close")
    assert key("write").has_perm("budgets.edit")


def test_an_action_that_is_not_in_the_table_is_a_mistake_in_the_code():
    with pytest.raises(KeyError):
        access.may(person("admin"), "budget.edit")


def test_the_audit_trail_tells_people_from_keys():
    assert access.label(person("viewer")) == "someone@example.com"
    assert access.label(key("read")) == "key:edge"
