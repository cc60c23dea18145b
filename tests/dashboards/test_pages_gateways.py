"""Gateways: what they send and run, and keys that are shown once, made once and ended with a reason."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from alerts.models import Alert
from catalog.models import Gateway, GatewayKey
from catalog.rules import gateway_settings
from catalog.selectors import callers
from catalog.services import gateways
from core.models import ApiKey, AuditEntry
from core.services import keys
from dashboards.forms_gateways import PLACES
from dashboards.selectors import gateways as page_of
from dashboards.views.fleet_words import rules_words
from dashboards.views.gateway_words import rate_words, seconds_words
from routing.models import Environment, GatewayPoll, Version
from tests.dashboards.seeing import HOSTILE, book, call, filled_in, signed_in
from tests.factories import make_key
from tests.usage import making
from usage.models import Receipt, Source
from usage.services import silence

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"tk_[A-Za-z0-9_-]{43}")


def another(**overrides):
    """Return what a person sends who makes another key of the gateway."""
    given = {
        "name": "blue",
        "environment": "production",
        "scopes": ["usage:write"],
        "newest": ApiKey.objects.latest("id").pk,
    }
    return given | overrides


def secret_in(answer) -> str:
    """Return the one secret that an answer shows."""
    (found,) = set(SECRET.findall(answer.content.decode()))
    return found


def publish(environment: str = "production", *, versions: int = 1, since=None) -> Environment:
    """Put versions of empty rules in force, the last of them since an instant."""
    at = since or timezone.now() - timedelta(hours=1)
    where, _ = Environment.objects.get_or_create(name=environment, defaults={"created_at": at})
    for number in range(1, versions + 1):
        content = str(number).encode()
        Version.objects.create(
            environment=where,
            number=number,
            base=number - 1 or None,
            canonical=content,
            sha256=hashlib.sha256(content).digest(),
            published_at=at,
            published_by="ann@example.com",
            approved_by="bob@example.com",
        )
        Environment.objects.filter(pk=where.pk).update(live_version=number)
    where.refresh_from_db()
    return where


def poll(version, *, ago=timedelta(seconds=20), given=None, refuses=None, instance="", environment="production"):
    GatewayPoll.objects.create(
        gateway=gateways.get("edge"),
        environment=environment,
        instance=instance,
        version=version,
        given_version=given or version,
        rejected_version=refuses,
        rejected_revision=refuses,
        polled_at=timezone.now() - ago,
    )


def states():
    now = timezone.now()
    (row,) = page_of.listed(at=now).gateways
    return [(one.tone, one.state, one.words) for one in (rules_words(each, now) for each in row.rules)]


def test_without_a_gateway_the_page_says_how_to_connect_the_first_to_whoever_may(client):
    signed_in(client, "platform")

    assert "Connect the first gateway" in client.get("/gateways/").content.decode()
    signed_in(client, "viewer")
    page = client.get("/gateways/").content.decode()
    assert "No gateway yet" in page
    assert "/gateways/new/" not in page


def test_a_gateway_shows_what_it_sent_what_waits_and_how_it_is_counted(client):
    making.make_priced_offering()
    book(call(), call())
    making.take(call(), received_at=timezone.now() - timedelta(minutes=5))
    signed_in(client, "viewer")

    (line,) = client.get("/gateways/").context["lines"]

    assert (line.row.name, line.kind, line.row.requests, line.row.accounting_format) == ("edge", "Own", 2, "native")
    assert line.row.received.waiting_events == 1
    assert line.lags
    Receipt.objects.filter(state="pending").update(received_at=timezone.now())
    assert not client.get("/gateways/").context["lines"][0].lags


def test_the_stream_of_a_gateway_is_told_on_the_list_and_on_its_page(client):
    making.make_priced_offering()
    now = timezone.now()
    known = making.make_event(occurred_at=now - timedelta(seconds=90))
    making.send(known, *(call() for _ in range(29)), received_at=now - timedelta(seconds=30))
    changed = making.make_event(event_id=known.event_id, output_tokens=7, occurred_at=now)
    making.send(changed, making.make_event(occurred_at=now - timedelta(days=40)), received_at=now)
    signed_in(client, "viewer")

    (line,) = client.get("/gateways/").context["lines"]
    pk = gateways.get("edge").pk
    page = client.get(f"/gateways/{pk}/").content.decode()

    assert line.rates == ["2.1", "0.5", "< 0.1"]
    assert line.lag[0] == "20 days"
    assert [(one.count, one.words, one.wrong) for one in line.not_counted] == [
        (1, "in conflict", True), (1, "too old", True)
    ]  # fmt: skip
    assert f"/intake/held/?gateway={pk}&amp;reason=conflict" in page
    assert ">32</span> events in 15 minutes" in page
    assert "unless it was just as quiet at this time a week before" in page


def test_a_second_format_and_bodies_set_aside_are_seen_on_the_page(client):
    book(call())
    making.send(call(), format="litellm", received_at=timezone.now())
    aside = making.take(call(), received_at=timezone.now())
    Receipt.objects.filter(pk=aside).update(state="failed")
    pk = gateways.get("edge").pk
    signed_in(client, "viewer")

    page = client.get(f"/gateways/{pk}/").content.decode()

    assert "litellm, 1 of its last bodies" in page
    assert "kept aside" in page
    assert f"/intake/?show=failed&amp;gateway={pk}" in page
    assert f"/intake/?show=failed&amp;gateway={pk}" in client.get("/gateways/").content.decode()


def test_a_silent_gateway_says_so_with_what_to_check(client):
    now = timezone.now()
    book(call(), at=now - timedelta(hours=3))
    signed_in(client, "viewer")
    pk = gateways.get("edge").pk
    assert "silent" not in client.get(f"/gateways/{pk}/").content.decode().partition("Its stream")[0]

    silence.look(at=now)

    alert = Alert.objects.get()
    for path in ("/gateways/", f"/gateways/{pk}/"):
        assert f"/alerts/{alert.pk}/" in client.get(path).content.decode(), path
    assert "Check that it runs" in client.get(f"/gateways/{pk}/").content.decode()
    assert client.get(f"/alerts/{alert.pk}/").status_code == 200
    book(call(), at=now)
    silence.look(at=now)
    assert f"/alerts/{alert.pk}/" not in client.get("/gateways/").content.decode()


def test_an_alert_of_all_gateways_is_none_of_one_that_may_be_silent(client):
    now = timezone.now()
    for name in ("edge", "other", "quiet"):
        book(call(), at=now - timedelta(hours=3), gateway=name)
    gateways.create(name="new", by="ann", at=now)
    gateways.change_settings(gateway_id=gateways.get("quiet").pk, given={"silent_after_minutes": 0}, by="ann")
    silence.look(at=now)
    signed_in(client, "viewer")

    lines = client.get("/gateways/").context["lines"]

    assert {line.row.name for line in lines if line.row.silent_alert} == {"edge", "other"}


@pytest.mark.parametrize(
    ("words", "said"),
    [(0, "0"), (0.02, "< 0.1"), (0.1, "0.1"), (9.94, "9.9"), (9.96, "10"), (1234.4, "1,234")],
)
def test_rates_are_as_exact_as_anybody_wants(words, said):
    assert rate_words(words) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (10, "10 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")],
)
def test_lags_are_told_in_their_unit(seconds, said):
    assert seconds_words(seconds) == said


# --- settings ---


def chosen(**overrides):
    """Return what a person sends who leaves all settings as they are."""
    given = {f"place_{n}": place for n, place in enumerate(PLACES, 1)}
    return {**given, "silent_after_minutes": "60", "accounting_format": "", "seen": ""} | overrides


def test_settings_are_kept_and_shown_again(client):
    making.make_gateway()
    pk = gateways.get("edge").pk
    person = signed_in(client, "platform")
    given = chosen(
        place_1="team", place_2="tag", place_3="", place_4="", place_5="", silent_after_minutes="15",
        by_key_alias="support-bot-prod = support-routing\r\n\r\nodd=name = legal ", by_team="t-1=contracts",
        reason="keys have names now",
    )  # fmt: skip

    page = client.post(f"/gateways/{pk}/settings/", given, follow=True).content.decode()
    form = client.get(f"/gateways/{pk}/settings/").context["form"]

    known = gateway_settings.read(Gateway.objects.get(pk=pk).settings)
    assert known.use_case_from == ("team", "tag")
    assert known.use_case_by_key_alias == {"support-bot-prod": "support-routing", "odd=name": "legal"}
    assert (known.use_case_by_team, known.silent_after_minutes) == ({"t-1": "contracts"}, 15)
    assert "longer than 15 minutes" in page
    assert (form["place_1"].value(), form["by_team"].value()) == ("team", "t-1 = contracts")
    entry = AuditEntry.objects.get(table="catalog_gateway", operation="update")
    assert (entry.actor, entry.reason) == (person.email, "keys have names now")
    assert "Nothing was changed" in client.post(f"/gateways/{pk}/settings/", given, follow=True).content.decode()


def test_how_a_gateway_takes_rules_is_a_setting_and_a_form_is_offered_where_its_kind_has_one(client):
    making.make_gateway()
    edge = gateways.get("edge")
    signed_in(client, "platform")

    def offered():
        return [
            way for way, _ in client.get(f"/gateways/{edge.pk}/settings/").context["form"]["takes_rules"].field.choices
        ]

    assert offered() == ["poll", "none"]
    assert client.post(f"/gateways/{edge.pk}/settings/", chosen(takes_rules="export")).status_code == 422
    Gateway.objects.filter(pk=edge.pk).update(kind="litellm")
    assert offered() == ["poll", "export", "none"]
    page = client.post(f"/gateways/{edge.pk}/settings/", chosen(takes_rules="export"), follow=True).content.decode()
    assert "In the form of its kind" in page
    client.post(f"/gateways/{edge.pk}/settings/", chosen())
    assert gateways.get("edge").takes_rules == "export"


def test_everything_that_is_wrong_with_settings_is_shown_at_its_field_and_nothing_is_kept(client):
    book(call())
    pk = gateways.get("edge").pk
    signed_in(client, "platform")
    wrong = chosen(place_2="tag", silent_after_minutes="-1", accounting_format="litellm", seen="native")

    answer = client.post(f"/gateways/{pk}/settings/", wrong)
    unread = client.post(f"/gateways/{pk}/settings/", chosen(by_team="a = b\nno sign\na = c", silent_after_minutes="x"))

    assert answer.status_code == unread.status_code == 422
    assert set(answer.context["form"].errors) == {"place_1", "silent_after_minutes", "reason"}
    assert unread.context["form"].errors["by_team"] == [
        "Line 2: write it as NAME = USE CASE.", "Line 3: this name stands there already."
    ]  # fmt: skip
    assert Gateway.objects.get(pk=pk).settings == {}
    nowhere = chosen(**{f"place_{n}": "" for n in range(1, 6)}, silent_after_minutes="")
    answer = client.post(f"/gateways/{pk}/settings/", nowhere)
    assert set(answer.context["form"].errors) == {"place_1", "silent_after_minutes"}


def test_another_format_is_chosen_with_a_reason_unless_it_moved_meanwhile(client):
    book(call())
    pk = gateways.get("edge").pk
    signed_in(client, "platform")
    given = chosen(accounting_format="litellm", seen="native", reason="the native callback is gone")

    stale = client.post(f"/gateways/{pk}/settings/", given | {"seen": "otlp"})
    page = client.post(f"/gateways/{pk}/settings/", given, follow=True).content.decode()

    assert set(stale.context["form"].errors) == {"accounting_format"}
    assert "litellm; other formats are kept, not counted" in page
    assert Source.objects.get().accounting_format == "litellm"
    entry = AuditEntry.objects.filter(table="usage_source").latest("id")
    assert entry.reason == "the native callback is gone"


def test_the_format_of_a_gateway_that_sent_nothing_is_left_to_its_first_body_or_chosen(client):
    making.make_gateway()
    pk = gateways.get("edge").pk
    signed_in(client, "platform")

    client.post(f"/gateways/{pk}/settings/", chosen())
    assert not Source.objects.exists()
    client.post(f"/gateways/{pk}/settings/", chosen(accounting_format="otlp"))
    assert Source.objects.get().accounting_format == "otlp"


@pytest.mark.parametrize("role", ["viewer", "finance", "engineer", "approver"])
def test_who_may_not_manage_gateways_changes_no_settings(client, role):
    making.make_gateway()
    pk = gateways.get("edge").pk
    signed_in(client, role)

    assert client.get(f"/gateways/{pk}/settings/").status_code == 403
    assert client.post(f"/gateways/{pk}/settings/", chosen(silent_after_minutes="5")).status_code == 403
    assert f"/gateways/{pk}/settings/" not in client.get(f"/gateways/{pk}/").content.decode()
    assert Gateway.objects.get(pk=pk).settings == {}


def test_a_retired_gateway_has_no_settings_and_strangers_sign_in_first(client):
    edge = making.make_gateway()
    assert client.get(f"/gateways/{edge.pk}/settings/")["Location"].startswith("/accounts/login/")
    gateways.retire(gateway=edge, by="ann", at=timezone.now())
    signed_in(client, "platform")

    for answer in (
        client.get(f"/gateways/{edge.pk}/settings/", follow=True),
        client.post(f"/gateways/{edge.pk}/settings/", chosen(silent_after_minutes="5"), follow=True),
    ):
        assert "it sends nothing any more" in answer.content.decode()
    assert Gateway.objects.get(pk=edge.pk).settings == {}
    assert client.get("/gateways/999/settings/").status_code == 404


def test_keys_are_listed_with_all_but_their_secret(client):
    now = timezone.now()
    secret = make_key("usage:write", "rules:read", name="blue", by="ann@example.com", at=now)
    make_key("read", name="soon over", at=now, expires_at=now + timedelta(days=3))
    make_key("read", name="old", at=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    script, _ = keys.issue(name="finance script", scopes=["read"], by="ann", at=now)
    ApiKey.objects.filter(name="blue").update(last_used_at=now - timedelta(hours=3))
    signed_in(client, "viewer")

    listed = client.get("/gateways/").content.decode()
    one = client.get(f"/gateways/{gateways.get('edge').pk}/").content.decode()

    for page in (listed, one):
        assert secret[:10] in page
        assert secret not in page
        assert "usage:write" in page
        assert "ann@example.com" in page
        assert "3 hours ago" in page
        assert "expires soon" in page
    assert script.name in listed
    assert "old" not in re.findall(r">([a-z ]+)<span class=\"tk-sub\"><code>", listed)
    assert "1 that ended" in one


@pytest.mark.parametrize(
    ("polls", "tone", "state", "words"),
    [
        ([], "neutral", "never polled", "v2 is in force"),
        ([{"version": 2}], "ok", "up to date", "v2, asked 20 seconds ago"),
        ([{"version": 1}], "warning", "behind", "has v1, asked 20 seconds ago; v2 has been in force for 1 hour"),
        (
            [{"version": None, "given": 1}],
            "neutral",
            "says nothing",
            "has no version, asked 20 seconds ago; v2 has been in force for 1 hour",
        ),
        (
            [{"version": 1, "given": 2}],
            "warning",
            "behind",
            "has v1; was given v2 20 seconds ago and has not confirmed it yet",
        ),
        (
            [{"version": 2, "ago": timedelta(hours=3)}],
            "warning",
            "not heard of",
            "last asked 3 hours ago, then with v2; v2 is in force",
        ),
        (
            [{"version": 2, "instance": "a"}, {"version": 1, "instance": "b"}, {"version": 2, "instance": "c"}],
            "warning",
            "behind",
            "1 of 3 instances is behind; v2 has been in force for 1 hour",
        ),
        (
            [{"version": 2, "instance": "a"}, {"version": 1, "instance": "gone", "ago": timedelta(days=2)}],
            "ok",
            "up to date",
            "v2, asked 20 seconds ago",
        ),
        (
            [{"version": 1, "refuses": 2}],
            "danger",
            "refused",
            "refuses v2 and goes on with v1; asked 20 seconds ago",
        ),
        (
            [{"version": 1, "refuses": 2, "instance": "a"}, {"version": 1, "refuses": 2, "instance": "b"}],
            "danger",
            "refused",
            "2 of 2 instances refuse v2; v2 is in force",
        ),
    ],
)
def test_the_rules_that_a_gateway_runs_are_told_against_those_in_force(polls, tone, state, words):
    make_key("rules:read")
    publish(versions=2)
    for each in polls:
        poll(**each)

    assert states() == [(tone, state, words)]


def test_where_no_rules_are_in_force_nobody_is_late():
    make_key("rules:read")
    make_key("usage:write", environment="staging")  # fetches no rules

    assert states() == [("neutral", "no rules yet", "none are in force, and it never asked")]
    poll(None)
    assert states() == [("neutral", "no rules yet", "asked 20 seconds ago; none are in force")]


def test_a_retired_gateway_is_not_late_with_anything(client):
    make_key("rules:read")
    publish(versions=2)
    poll(1)
    gateways.retire(gateway=gateways.get("edge"), by="ann", at=timezone.now())
    signed_in(client, "viewer")

    assert states() == []
    assert client.get("/gateways/").context["late"] == 0
    assert "fetches no rules any more" in client.get(f"/gateways/{gateways.get('edge').pk}/").content.decode()


def test_each_environment_of_a_gateway_is_told_apart_with_its_instances(client):
    make_key("rules:read")
    publish("production", versions=2)
    publish("staging")
    poll(2, instance="pod-1")
    poll(1, environment="staging", instance="pod-2")
    signed_in(client, "viewer")

    page = client.get(f"/gateways/{gateways.get('edge').pk}/").content.decode()

    assert [state for _, state, _ in states()] == ["up to date", "up to date"]
    assert "pod-1" in page
    assert "pod-2" in page


def test_the_form_for_another_key_names_the_newest_that_was_seen(client):
    make_key("read")
    signed_in(client, "platform")
    pk = gateways.get("edge").pk

    form = client.get(f"/gateways/{pk}/").context["form"]
    answer = client.post(f"/gateways/{pk}/keys/", another(newest=form["newest"].value()))

    assert form["newest"].value() == GatewayKey.objects.earliest("key").key_id
    assert secret_in(answer)
    assert GatewayKey.objects.count() == 2


@pytest.mark.parametrize("newest", ["", "x", "-1", str(2**63)])
def test_another_key_needs_to_say_what_was_seen(client, newest):
    make_key("read")
    signed_in(client, "platform")

    answer = client.post(f"/gateways/{gateways.get('edge').pk}/keys/", another(newest=newest))

    assert (answer.status_code, ApiKey.objects.count()) == (422, 1)


def test_rotating_is_confirmed_shows_the_new_key_once_and_ends_the_old(client):
    old = make_key("usage:write", environment="staging", at=timezone.now())
    key = ApiKey.objects.get()
    signed_in(client, "platform")

    asked = client.get(f"/gateways/keys/{key.pk}/rotate/")
    answer = client.post(f"/gateways/keys/{key.pk}/rotate/", {"reason": "every quarter"})
    again = client.post(f"/gateways/keys/{key.pk}/rotate/", {"reason": "every quarter"}, follow=True)

    caller = callers.by_digest(keys.digest_of(secret_in(answer)))
    assert "stops within a second" in asked.content.decode()
    assert caller is not None
    assert (caller.gateway, caller.environment, caller.scopes) == ("edge", "staging", ("usage:write",))
    assert callers.by_digest(keys.digest_of(old)) is None
    assert "no-store" in answer["Cache-Control"]
    assert "revoked already" in again.content.decode()
    assert not SECRET.search(again.content.decode())
    assert ApiKey.objects.count() == 2
    assert AuditEntry.objects.filter(table="core_apikey", operation="update", reason="every quarter").exists()


def test_a_key_with_an_end_is_rotated_into_one_with_that_end_unless_another_is_chosen(client):
    make_key("read", at=timezone.now(), expires_at=datetime(2090, 7, 2, tzinfo=UTC))
    key = ApiKey.objects.get()
    signed_in(client, "platform")

    form = client.get(f"/gateways/keys/{key.pk}/rotate/").context["form"]
    refused = client.post(f"/gateways/keys/{key.pk}/rotate/", {"expires_on": "2020-01-01"})

    assert form["expires_on"].value() == date(2090, 7, 1)
    assert set(refused.context["form"].errors) == {"expires_on"}
    key.refresh_from_db()
    assert (key.revoked_at, ApiKey.objects.count()) == (None, 1)  # nothing is half done


def test_revoking_is_confirmed_on_a_page_of_its_own_with_a_reason(client):
    secret = make_key("read", name="leaky")
    key = ApiKey.objects.get()
    person = signed_in(client, "platform")
    url = f"/gateways/keys/{key.pk}/revoke/"

    assert "Revoke for good" in client.get(url).content.decode()
    assert callers.by_digest(keys.digest_of(secret)) is not None  # looking at it does nothing
    assert client.post(url, {"reason": " "}).status_code == 422
    answer = client.post(url, {"reason": "left in a repository"}, follow=True)

    assert callers.by_digest(keys.digest_of(secret)) is None
    assert "is revoked, and stops within a second" in answer.content.decode()
    entry = AuditEntry.objects.get(table="core_apikey", operation="update")
    assert (entry.actor, entry.reason) == (person.email, "left in a repository")
    assert "revoked already" in client.get(url, follow=True).content.decode()
    assert "was revoked already" in client.post(url, {"reason": "again"}, follow=True).content.decode()


def test_a_key_that_stands_for_no_gateway_can_be_revoked_and_not_rotated(client):
    key, _ = keys.issue(name="script", scopes=["read"], by="ann", at=timezone.now())
    signed_in(client, "platform")

    assert client.get(f"/gateways/keys/{key.pk}/rotate/").status_code == 404
    answer = client.post(f"/gateways/keys/{key.pk}/revoke/", {"reason": "over"})

    assert answer["Location"] == "/gateways/"
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_a_gateway_is_retired_with_a_reason_and_takes_no_new_key(client):
    secret = make_key("read")
    edge = gateways.get("edge")
    signed_in(client, "platform")

    assert "All its keys stop" in client.get(f"/gateways/{edge.pk}/retire/").content.decode()
    assert client.post(f"/gateways/{edge.pk}/retire/", {"reason": ""}).status_code == 422
    page = client.post(f"/gateways/{edge.pk}/retire/", {"reason": "replaced"}, follow=True).content.decode()
    late = client.post(f"/gateways/{edge.pk}/keys/", another(), follow=True).content.decode()

    assert callers.by_digest(keys.digest_of(secret)) is None
    assert "Make the key" not in page
    assert "it takes no new key" in late
    assert ApiKey.objects.count() == 1


def test_nobody_makes_or_sees_a_key_that_may_do_more_than_she_may(client):
    make_key("admin", name="all")
    key = ApiKey.objects.get()
    signed_in(client, "platform")
    pk = gateways.get("edge").pk

    offered = [name for name, _ in client.get("/gateways/new/?kind=native").context["form"].fields["scopes"].choices]

    assert offered == ["usage:write", "rules:read", "read"]
    assert client.post("/gateways/new/", filled_in(name="mine", scopes=["admin"])).status_code == 422
    assert client.post(f"/gateways/{pk}/keys/", another(scopes=["write"])).status_code == 422
    assert client.post(f"/gateways/keys/{key.pk}/rotate/", {"reason": "mine now"}).status_code == 403
    assert f"/gateways/keys/{key.pk}/rotate/" not in client.get(f"/gateways/{pk}/").content.decode()
    assert ApiKey.objects.count() == 1
    signed_in(client, "admin")
    assert secret_in(client.post("/gateways/new/", filled_in(name="mine", scopes=["admin"])))


@pytest.mark.parametrize("role", ["viewer", "finance", "engineer", "approver"])
def test_who_may_not_manage_keys_sees_no_button_and_changes_nothing(client, role):
    make_key("read")
    edge, key = gateways.get("edge"), ApiKey.objects.get()
    signed_in(client, role)

    for path in ("/gateways/", f"/gateways/{edge.pk}/"):
        page = client.get(path).content.decode()
        assert not [word for word in ("Rotate", "Revoke", "Make a key", "Connect", "Retire") if word in page], path
    for path, data in (
        ("/gateways/new/", filled_in(name="mine")),
        (f"/gateways/{edge.pk}/keys/", another()),
        (f"/gateways/{edge.pk}/retire/", {"reason": "x"}),
        (f"/gateways/keys/{key.pk}/rotate/", {"reason": "x"}),
        (f"/gateways/keys/{key.pk}/revoke/", {"reason": "x"}),
    ):
        assert client.post(path, data).status_code == 403, path
    key.refresh_from_db()
    edge.refresh_from_db()
    assert (key.revoked_at, edge.retired_at, ApiKey.objects.count(), Gateway.objects.count()) == (None, None, 1, 1)


def test_strangers_are_sent_to_sign_in(client):
    make_key("read")
    key = ApiKey.objects.get()

    for path in ("/gateways/", "/gateways/new/", f"/gateways/keys/{key.pk}/revoke/"):
        assert client.get(path)["Location"].startswith("/accounts/login/"), path
    assert client.post(f"/gateways/keys/{key.pk}/revoke/", {"reason": "x"}).status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize("pk", [999, 10**30])
def test_there_is_no_page_of_a_gateway_or_key_that_never_was(client, pk):
    signed_in(client, "admin")

    for path in (f"/gateways/{pk}/", f"/gateways/{pk}/retire/", f"/gateways/keys/{pk}/revoke/"):
        assert client.get(path).status_code == 404, path
    assert client.post(f"/gateways/{pk}/keys/", {}).status_code == 404
    assert client.get(f"/gateways/keys/{pk}/rotate/").status_code == 404


def test_names_that_are_markup_stay_text(client):
    make_key("rules:read", name=HOSTILE, by=HOSTILE)
    edge = gateways.get("edge")
    Gateway.objects.filter(pk=edge.pk).update(name=HOSTILE, kind=HOSTILE[:32])
    GatewayKey.objects.update(environment=HOSTILE)
    publish()
    GatewayPoll.objects.create(gateway=edge, environment=HOSTILE, instance=HOSTILE, polled_at=timezone.now())
    key = ApiKey.objects.get()
    signed_in(client, "admin")

    for path in ("/gateways/", f"/gateways/{edge.pk}/", f"/gateways/keys/{key.pk}/revoke/"):
        page = client.get(path).content.decode()

        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


LIST_QUERIES = 11
PAGE_QUERIES = 14


def test_the_pages_ask_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    make_key("rules:read")
    publish()
    edge = gateways.get("edge")
    signed_in(client, "admin")
    client.get("/gateways/")

    with django_assert_num_queries(LIST_QUERIES):
        client.get("/gateways/")
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(f"/gateways/{edge.pk}/")
    for n in range(4):
        make_key("rules:read", gateway=f"edge-{n}", environment=f"e{n}")
        make_key("rules:read", environment=f"e{n}")
        publish(f"e{n}")
        poll(1, environment=f"e{n}")
    book(call())
    with django_assert_num_queries(LIST_QUERIES):
        client.get("/gateways/")
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(f"/gateways/{edge.pk}/")
