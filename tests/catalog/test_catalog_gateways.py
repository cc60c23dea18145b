"""Gateways, the keys that stand for them, and `manage.py create_key`."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import get_args

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import Gateway, GatewayKey
from catalog.rules import gateway_settings
from catalog.rules.gateway_settings import GatewaySettings
from catalog.selectors import callers
from catalog.services import gateways
from core.errors import Conflict, Invalid, NotFound
from core.models import SCOPES, ApiKey, AuditEntry
from core.services import keys
from tests.factories import NOON, make_key, make_user
from usage.formats.contract import FormatSettings, UseCasePlace

DAY = timedelta(days=1)


def create_key(capsys, *arguments):
    """Run the command; return the lines it prints, and what it tells beside them."""
    call_command("create_key", *arguments)
    said = capsys.readouterr()
    return said.out.splitlines(), said.err


def stands_for(secret):
    caller = callers.by_digest(keys.digest_of(secret))
    return caller and (caller.name, caller.gateway, caller.environment, caller.scopes)


@pytest.mark.django_db(transaction=True)
def test_the_command_prints_the_key_alone_on_the_last_line(capsys):
    lines, told = create_key(capsys, "edge", "--scope", "usage:write", "rules:read")

    assert stands_for(lines[-1]) == ("edge", "edge", "production", ("usage:write", "rules:read"))
    assert lines[-1].startswith("tk_")
    assert lines[-1] not in told
    assert "edge is new and was made" in told


@pytest.mark.django_db(transaction=True)
def test_the_command_takes_gateway_environment_and_scopes_in_either_form(capsys):
    lines, _ = create_key(
        capsys,
        "second key",
        "--scope",
        "read",
        "--scope",
        "usage:write",
        "--gateway",
        "edge",
        "--environment",
        "staging",
    )

    assert stands_for(lines[-1]) == ("second key", "edge", "staging", ("usage:write", "read"))


@pytest.mark.django_db(transaction=True)
def test_the_command_uses_a_gateway_that_is_known_whatever_its_case(capsys):
    create_key(capsys, "Edge", "--scope", "usage:write")

    lines, told = create_key(capsys, "other", "--scope", "usage:write", "--gateway", "edge")

    assert stands_for(lines[-1])[1] == "Edge"
    assert "is new" not in told
    assert Gateway.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["edge"], "--scope"),
        (["edge", "--scope", "everything"], "no scope 'everything'"),
        (["my edge", "--scope", "read"], "is not a name"),
        (["edge", "--scope", "read", "--environment", "pro duction"], "is not a name"),
        (["x" * 129, "--scope", "read", "--gateway", "edge"], "1 to 128"),
    ],
)
def test_the_command_refuses_what_cannot_be_and_makes_nothing(capsys, arguments, said):
    with pytest.raises(CommandError, match=said):
        create_key(capsys, *arguments)

    assert (ApiKey.objects.count(), Gateway.objects.count()) == (0, 0)
    assert capsys.readouterr().out == ""


@pytest.mark.django_db
def test_only_the_digest_of_a_secret_is_kept():
    secret = make_key("read")

    kept = ApiKey.objects.get()
    assert bytes(kept.digest) == keys.digest_of(secret)
    assert secret.startswith(kept.prefix)
    assert len(kept.prefix) <= 10
    assert secret not in str(list(ApiKey.objects.values()))


@pytest.mark.django_db
def test_rotating_a_key_keeps_gateway_environment_and_scopes_and_ends_the_old_one():
    old = make_key("usage:write", "read", gateway="edge", environment="staging", name="edge key")
    link = GatewayKey.objects.get()

    new = gateways.rotate_key(key=link.key, by="ann", at=NOON + DAY, reason="leaked")

    assert stands_for(new) == ("edge key", "edge", "staging", ("usage:write", "read"))
    assert stands_for(old) is None
    assert new != old
    assert GatewayKey.objects.exclude(pk=link.pk).get().gateway_id == link.gateway_id
    link.key.refresh_from_db()
    assert link.key.revoked_at == NOON + DAY


@pytest.mark.django_db
def test_a_revoked_key_is_not_rotated_into_a_new_one():
    make_key("read")
    key = ApiKey.objects.get()
    keys.revoke(key=key, by="ann", at=NOON)

    with pytest.raises(Conflict, match="revoked already"):
        gateways.rotate_key(key=key, by="ann", at=NOON + DAY)

    assert ApiKey.objects.count() == 1


@pytest.mark.django_db
def test_a_key_without_a_gateway_has_nothing_to_rotate_for():
    key, _ = keys.issue(name="script", scopes=["read"], by="ann", at=NOON)

    with pytest.raises(Invalid, match="no gateway"):
        gateways.rotate_key(key=key, by="ann", at=NOON)


@pytest.mark.django_db
def test_a_retired_gateway_ends_its_keys_and_takes_no_new_one():
    secret = make_key("read", gateway="edge")
    other = make_key("read", gateway="other")

    gateways.retire(gateway=gateways.get("edge"), by="ann", at=NOON)
    gateways.retire(gateway=gateways.get("edge"), by="ann", at=NOON + DAY)

    assert (stands_for(secret), stands_for(other) is None) == (None, False)
    assert gateways.get("edge").retired_at == NOON
    with pytest.raises(Conflict, match="retired"):
        make_key("read", gateway="edge")


@pytest.mark.django_db
def test_a_gateway_is_made_once_and_found_whatever_its_case():
    made = gateways.create(name="Edge", by="ann", at=NOON, kind="litellm", settings={"use_case": "metadata.app"})

    assert gateways.get(" edge ") == made
    with pytest.raises(gateways.GatewayExists):
        gateways.create(name="edge", by="ann", at=NOON)
    with pytest.raises(Invalid):
        gateways.create(name="my edge", by="ann", at=NOON)
    with pytest.raises(NotFound):
        gateways.get("nowhere")


def connect(**overrides):
    given = {"name": "edge", "kind": "litellm", "environment": "production", "scopes": ["usage:write"], "by": "ann"}
    return gateways.connect(**{**given, "at": NOON, **overrides})


@pytest.mark.django_db
def test_a_gateway_is_connected_with_its_first_key_at_once_and_only_once():
    secret = connect(environment="staging", expires_at=NOON + DAY)

    with pytest.raises(gateways.GatewayExists):
        connect(name="Edge")
    assert stands_for(secret) == ("edge", "edge", "staging", ("usage:write",))
    assert gateways.get("edge").kind == "litellm"
    assert ApiKey.objects.get().expires_at == NOON + DAY


@pytest.mark.django_db
def test_all_that_is_wrong_with_a_gateway_is_told_at_once_and_nothing_is_made():
    with pytest.raises(Invalid) as told:
        connect(name="my edge", kind="", environment="pro duction", scopes=[], expires_at=NOON)

    assert [field for field, _ in told.value.problems] == ["name", "kind", "environment", "expires_at", "scopes"]
    assert (ApiKey.objects.count(), Gateway.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_a_request_for_a_key_that_is_sent_again_makes_no_second_one():
    make_key("read", gateway="other")
    connect()
    seen = ApiKey.objects.latest("id").pk

    make_key("read", gateway="edge", newest_seen=seen)
    with pytest.raises(gateways.KeyMadeMeanwhile):
        make_key("read", gateway="edge", newest_seen=seen)

    assert GatewayKey.objects.filter(gateway__name="edge").count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_requests_sent_at_once_for_the_same_key_one_makes_it():
    connect()
    seen = ApiKey.objects.get().pk
    refused = []

    def ask():
        try:
            make_key("read", gateway="edge", newest_seen=seen)
        except gateways.KeyMadeMeanwhile as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(refused), GatewayKey.objects.count()) == (3, 2)


@pytest.mark.django_db
def test_a_key_is_revoked_once_with_a_reason_that_the_audit_trail_keeps():
    secret = make_key("read")
    key = ApiKey.objects.get()

    with pytest.raises(Invalid):
        gateways.revoke_key(key=key, by="ann", at=NOON, reason=" ")
    assert stands_for(secret) is not None
    assert gateways.revoke_key(key=key, by="ann", at=NOON, reason="left in a repository")
    assert not gateways.revoke_key(key=key, by="bob", at=NOON + DAY, reason="again")

    assert (stands_for(secret), key.revoked_at) == (None, NOON)
    trail = AuditEntry.objects.filter(table="core_apikey", operation="update").values_list("actor", "reason")
    assert list(trail) == [("ann", "left in a repository")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("platform", ["usage:write", "rules:read", "read"]),
        ("admin", list(SCOPES)),
        ("viewer", ["rules:read"]),
    ],
)
def test_nobody_gives_a_key_what_she_may_not_do_herself(role, scopes):
    assert keys.grantable(make_user(role)) == scopes


# --- settings ---


def settings_of(name="edge"):
    return gateway_settings.read(Gateway.objects.get(name=name).settings)


@pytest.mark.django_db
def test_settings_that_are_not_given_stay_and_what_nobody_said_has_its_default():
    edge = gateways.create(name="edge", by="ann", at=NOON, settings={"use_case": "kept as it is"})

    assert gateways.change_settings(gateway_id=edge.pk, given={"silent_after_minutes": 5}, by="ann")
    assert gateways.change_settings(
        gateway_id=edge.pk, given={"use_case_from": ["team", "tag"], "use_case_by_team": {" t-1 ": " Legal "}}, by="ann"
    )

    edge.refresh_from_db()
    assert settings_of() == GatewaySettings(
        use_case_from=("team", "tag"), use_case_by_team={"t-1": "Legal"}, silent_after_minutes=5
    )
    assert edge.settings["use_case"] == "kept as it is"
    assert gateway_settings.read({}) == GatewaySettings()


@pytest.mark.django_db
def test_settings_are_in_the_audit_trail_and_the_same_again_is_no_change():
    edge = gateways.create(name="edge", by="ann", at=NOON)
    given = {"use_case_by_key_alias": {"support-bot": "support"}, "silent_after_minutes": 30}

    changed = gateways.change_settings(gateway_id=edge.pk, given=given, by="ann", reason="keys have names now")
    again = gateways.change_settings(gateway_id=edge.pk, given=given, by="bob", reason="the same")

    entry = AuditEntry.objects.get(table="catalog_gateway", operation="update")
    assert (changed, again) == (True, False)
    assert (entry.actor, entry.reason) == ("ann", "keys have names now")
    assert entry.after["settings"]["use_case_by_key_alias"] == {"support-bot": "support"}


@pytest.mark.django_db
def test_everything_that_is_wrong_with_settings_is_told_at_once_and_nothing_is_kept():
    edge = gateways.create(name="edge", by="ann", at=NOON)
    wrong = {
        "use_case_from": ["tag", "tag", "header"],
        "use_case_by_key_alias": {"": "x", "bot": "\x07"},
        "use_case_by_team": ["t"],
        "silent_after_minutes": -1,
        "colour": "red",
    }

    with pytest.raises(Invalid) as refused:
        gateways.change_settings(gateway_id=edge.pk, given=wrong, by="ann")

    told = [name for name, _ in refused.value.problems]
    assert sorted(told) == sorted([*wrong, "use_case_from", "use_case_by_key_alias"])
    edge.refresh_from_db()
    assert edge.settings == {}


@pytest.mark.parametrize(
    "given",
    [
        {"use_case_from": []},
        {"use_case_from": "tag"},
        {"use_case_from": [["tag"]]},
        {"silent_after_minutes": True},
        {"silent_after_minutes": 1.5},
        {"silent_after_minutes": "60"},
        {"silent_after_minutes": 10_081},
        {"use_case_by_team": {str(n): "x" for n in range(1001)}},
        {"use_case_by_team": {"t": "x" * 129}},
        {"use_case_by_team": {"t": 7}},
        {"use_case_by_team": {"t": "a", " t": "b"}},
    ],
)
def test_settings_that_could_mean_nothing_are_refused(given):
    assert gateway_settings.problems(given)
    assert gateway_settings.read(given) == GatewaySettings()  # and count as not said where they got in all the same


@pytest.mark.django_db
def test_a_retired_gateway_and_one_that_never_was_have_no_settings_to_change():
    edge = gateways.create(name="edge", by="ann", at=NOON)
    gateways.retire(gateway=edge, by="ann", at=NOON)

    with pytest.raises(Conflict, match="retired"):
        gateways.change_settings(gateway_id=edge.pk, given={"silent_after_minutes": 5}, by="ann")
    with pytest.raises(NotFound):
        gateways.change_settings(gateway_id=edge.pk + 1, given={"silent_after_minutes": 5}, by="ann")


@pytest.mark.django_db(transaction=True)
def test_two_who_change_different_settings_at_once_both_have_their_way():
    edge = gateways.create(name="edge", by="ann", at=NOON)
    ready = threading.Barrier(2)

    def change(given):
        ready.wait()
        gateways.change_settings(gateway_id=edge.pk, given=given, by="ann")
        connection.close()

    threads = [
        threading.Thread(target=change, args=[given])
        for given in ({"silent_after_minutes": 5}, {"use_case_by_team": {"t": "legal"}})
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert settings_of() == GatewaySettings(silent_after_minutes=5, use_case_by_team={"t": "legal"})


def test_the_places_of_a_use_case_are_those_that_the_wire_formats_look_at():
    assert set(get_args(UseCasePlace)) == set(gateway_settings.USE_CASE_PLACES)
    assert FormatSettings(user_key=b"").use_case_from == gateway_settings.USE_CASE_PLACES
