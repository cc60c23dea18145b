"""Polls answered from memory: for whom, with what, exactly as Django would, and what is noted of them."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import keys
from core.api import problem
from core.models import ApiKey
from core.services import keys as key_services
from routing.models import Environment, GatewayPoll, Version
from routing.rules import document
from routing.services import states, switches
from routing.serving import polls
from routing.serving.front import RulesFront
from routing.serving.refresher import Refresher
from routing.serving.shelf import SHELF, Shelf
from tests.factories import NOON, make_key
from tests.routing.making import ENVIRONMENT, make_version, stock

pytestmark = pytest.mark.django_db

PATH = f"/api/v1/rules/{ENVIRONMENT}"
# What Django's middleware and REST framework put on any answer, and what tells nothing about the rules.
BESIDE = {
    "allow", "content-security-policy", "cross-origin-opener-policy", "referrer-policy", "x-content-type-options",
    "x-frame-options", "x-request-id",
}  # fmt: skip


class Headers:
    """Headers of a request as Granian gives them."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def get_all(self, key: str) -> list[str]:
        return [value for name, value in self._pairs if name == key]


class Poller:
    """A shelf of its own, and how a gateway asks it."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.refresher = Refresher(self.shelf)
        self.refresher.look()
        self.passed_seconds = 0
        self._front = RulesFront(self.shelf, clock=lambda: time.time() + self.passed_seconds)

    def ask(self, secret, *pairs, method="GET", path=PATH, query=""):
        given = [("Authorization", f"Bearer {secret}")] if secret is not None else []
        return self._front.answer(method=method, path=path, query=query, headers=Headers(*given, *pairs))


@pytest.fixture
def version():
    stock()
    return make_version()


@pytest.fixture(autouse=True)
def _nothing_noted():
    SHELF.polls.clear()
    yield
    SHELF.polls.clear()


@pytest.mark.parametrize(
    ("environment", "method", "headers"),
    [
        (ENVIRONMENT, "GET", {}),
        (ENVIRONMENT, "HEAD", {}),
        (ENVIRONMENT, "GET", {"Accept-Encoding": "gzip, br"}),
        (ENVIRONMENT, "HEAD", {"Accept-Encoding": "gzip"}),
        (ENVIRONMENT, "GET", {"Accept-Encoding": "gzip;q=0"}),
        (ENVIRONMENT, "GET", {"If-None-Match": "*"}),
        (ENVIRONMENT, "GET", {"If-None-Match": '"1.1"'}),
        (ENVIRONMENT, "HEAD", {"If-None-Match": 'W/"9.9", "1.1-gzip"'}),
        (ENVIRONMENT, "GET", {"If-None-Match": '"1.0"'}),
        (ENVIRONMENT, "GET", {"Accept": "text/html"}),
        ("nobody-made-this", "GET", {"If-None-Match": "*"}),
        ("nobody-made-this", "HEAD", {}),
    ],
)
def test_the_front_answers_exactly_as_django_does(version, environment, method, headers):
    secret, path = make_key("rules:read"), f"/api/v1/rules/{environment}"

    native = Poller().ask(secret, *headers.items(), method=method, path=path)
    django = Client().generic(method, path, headers={"Authorization": f"Bearer {secret}", **headers})

    assert (native.status, native.body) == (django.status_code, django.content)
    django_headers = {name.lower(): value for name, value in django.headers.items()}
    if native.status == 304:
        django_headers.pop("content-type", None)  # Django's own default, and Granian leaves it off
        assert django_headers.pop("content-length", "0") == "0"
    assert {name: value for name, value in django_headers.items() if name not in BESIDE} == dict(native.headers)


def test_no_version_is_told_as_every_other_problem(rf, version):
    secret = make_key("rules:read")
    native = Poller().ask(secret, path="/api/v1/rules/new")

    told = problem(
        status=404, detail="No rules are in force in this environment; keep those you have.",
        instance="/api/v1/rules/new", code="no-version",
    )  # fmt: skip

    assert json.loads(native.body) == told.data
    assert dict(native.headers)["content-type"] == told.content_type


@pytest.mark.parametrize("scope", ["rules:read", "read", "write", "admin"])
def test_a_key_that_may_read_rules_reads_those_of_any_environment(version, scope):
    secret = make_key(scope, environment="staging")

    answer = Poller().ask(secret)

    assert answer.status == 200


def test_a_key_counts_in_either_header(version):
    secret, poller = make_key("rules:read"), Poller()

    assert poller.ask(None, ("X-API-Key", secret)).status == 200
    assert poller.ask(None, ("Authorization", f"bearer  {secret} ")).status == 200
    # Basic of a proxy in front is not meant for us.
    assert poller.ask(None, ("Authorization", "Basic eDp5"), ("X-API-Key", secret)).status == 200


def test_whatever_is_not_plainly_a_poll_of_a_known_key_goes_on_to_django(version):
    secret, stranger = make_key("rules:read"), make_key("usage:write", gateway="other")
    poller = Poller()

    assert poller.ask(secret) is not None
    passed_on = [
        poller.ask(None), poller.ask("tk_unknown"), poller.ask(stranger), poller.ask(""), poller.ask("ü"),
        poller.ask(secret, ("Authorization", "Bearer another")),
        poller.ask(None, ("Authorization", "Bearer wrong"), ("X-API-Key", secret)),
        poller.ask(secret, method="POST"), poller.ask(secret, method="OPTIONS"),
        poller.ask(secret, path=PATH + "/versions/1"), poller.ask(secret, path="/api/v1/rules/"),
        poller.ask(secret, path="/api/v1/rules/a b"), poller.ask(secret, path="/api/v1/rules/" + "a" * 65),
        poller.ask(secret, path="/api/v1/spend"),
    ]  # fmt: skip
    assert passed_on == [None] * len(passed_on)


def test_django_says_what_is_wrong_with_what_the_front_passed_on(client, version):
    secret, stranger = make_key("rules:read"), make_key("usage:write", gateway="other")

    def status(secret):
        return client.get(PATH, headers={"Authorization": f"Bearer {secret}"}).status_code

    assert (status("tk_unknown"), status(stranger), client.get(PATH).status_code) == (401, 403, 401)
    assert status(secret) == 200


def test_a_shelf_with_nothing_on_it_answers_nothing(version):
    secret = make_key("rules:read")

    assert RulesFront(Shelf()).answer(
        method="GET", path=PATH, query="", headers=Headers(("Authorization", f"Bearer {secret}"))
    ) is None  # fmt: skip


def test_an_expired_key_is_refused_by_the_clock_though_nothing_was_looked_up(version):
    secret = make_key("rules:read", at=timezone.now(), expires_at=timezone.now() + timedelta(seconds=60))
    poller = Poller()

    before = poller.ask(secret)
    poller.passed_seconds = 61
    after = poller.ask(secret)

    assert (before.status, after) == (200, None)


def test_one_look_takes_in_new_keys_revoked_ones_and_changed_scopes(version):
    revoked, narrowed = make_key("rules:read", name="a"), make_key("rules:read", name="b")
    poller = Poller()
    key_services.revoke(key=ApiKey.objects.get(name="a"), by="tests", at=NOON)
    ApiKey.objects.filter(name="b").update(scopes=["usage:write"])
    fresh = make_key("rules:read", name="c")

    poller.refresher.look()

    assert (poller.ask(revoked), poller.ask(narrowed), poller.ask(fresh).status) == (None, None, 200)


def test_a_key_without_a_gateway_reads_rules_too_and_its_revocation_is_seen(version):
    key, secret = key_services.issue(name="script", scopes=["read"], by="tests", at=NOON)
    poller = Poller()

    before = poller.ask(secret)
    key_services.revoke(key=key, by="tests", at=NOON)
    poller.refresher.look()

    assert (before.status, poller.ask(secret)) == (200, None)


def test_a_look_takes_two_queries_where_nothing_changed_and_makes_only_what_did(version):
    make_key("rules:read")
    poller = Poller()
    first = poller.shelf.documents[ENVIRONMENT]

    with CaptureQueriesContext(connection) as idle:
        poller.refresher.look()
    kept = poller.shelf.documents[ENVIRONMENT]
    switches.turn(kind="provider", name="google", off=True, seconds=60, reason="outage", by="tests", at=NOON)
    with CaptureQueriesContext(connection) as changed:
        poller.refresher.look()

    assert len(idle) == 2
    assert kept is first
    assert len(changed) == 4
    after = poller.shelf.documents[ENVIRONMENT]
    assert (after.version, after.revision) == (first.version, first.revision + 1)
    assert b'"provider":"google"' in after.plain


def put_in_force(environment, *, number, canonical):
    """Publish these bytes whatever they are, as no service would."""
    Version.objects.create(
        environment=environment, number=number, base=number - 1, canonical=canonical,
        sha256=document.sha256(canonical), published_at=NOON, published_by="tests", approved_by="nobody",
    )  # fmt: skip
    Environment.objects.filter(pk=environment.pk).update(live_version=number)


def test_a_document_that_cannot_be_made_leaves_the_last_good_one_and_is_no_missing_version(version):
    secret, poller = make_key("rules:read"), Poller()
    put_in_force(version.environment, number=2, canonical=b"not a document")

    poller.refresher.look()
    kept, unknown = poller.ask(secret), Poller().ask(secret)
    put_in_force(version.environment, number=3, canonical=bytes(version.canonical))
    poller.refresher.look()

    assert (kept.status, dict(kept.headers)["etag"]) == (200, '"1.1"')
    assert unknown is None  # Django says what is wrong; "no-version" would be a lie
    assert dict(poller.ask(secret).headers)["etag"] == '"3.1"'


def test_the_view_takes_four_queries_with_the_key_and_two_when_the_shelf_has_the_document(client, version):
    secret = make_key("rules:read")
    client.get(PATH, headers={"Authorization": f"Bearer {secret}"})

    with CaptureQueriesContext(connection) as made:
        client.get(PATH, headers={"Authorization": f"Bearer {secret}"})
    Refresher(SHELF).look()
    try:
        with CaptureQueriesContext(connection) as kept:
            client.get(PATH, headers={"Authorization": f"Bearer {secret}"})
    finally:
        SHELF.documents = {}

    # The key's caller is kept for a second, so its query is not among them.
    assert (len(made), len(kept)) == (3, 1)


def test_the_view_gives_what_is_in_force_and_not_what_the_shelf_knew(client, version):
    secret = make_key("rules:read")
    Refresher(SHELF).look()
    try:
        switches.turn(kind="provider", name="google", off=True, seconds=60, reason="outage", by="tests", at=NOON)

        answer = client.get(PATH, headers={"Authorization": f"Bearer {secret}"})
    finally:
        SHELF.documents = {}

    assert answer["ETag"] == '"1.2"'


def test_who_polled_what_she_has_and_what_she_was_given_is_noted(version):
    secret, poller = make_key("rules:read", gateway="edge"), Poller()
    poller.ask(secret, query="instance=pod-1")
    poller.ask(secret, ("If-None-Match", 'W/"1.1-gzip"'), query="instance=pod-2")
    poller.ask(secret, ("If-None-Match", '"7.9"'), path="/api/v1/rules/new")

    with CaptureQueriesContext(connection) as queries:
        written = poller.shelf.polls.write(now=time.time())

    assert (written, len(queries)) == (3, 2)
    noted = GatewayPoll.objects.order_by("environment", "instance").values_list(
        "gateway__name", "environment", "instance", "version", "revision", "given_version", "given_revision"
    )
    assert list(noted) == [
        ("edge", "new", "", 7, 9, None, None),
        ("edge", ENVIRONMENT, "pod-1", None, None, 1, 1),
        ("edge", ENVIRONMENT, "pod-2", 1, 1, 1, 1),
    ]
    assert timezone.now() - GatewayPoll.objects.latest("polled_at").polled_at < timedelta(minutes=1)


def test_the_view_notes_polls_as_the_front_does(client, version):
    secret = make_key("rules:read")

    headers = {"Authorization": f"Bearer {secret}", "If-None-Match": '"1.1"'}
    client.get(PATH, {"instance": "pod-1"}, headers=headers)
    SHELF.polls.write(now=time.time())

    poll = GatewayPoll.objects.get()
    assert (poll.gateway.name, poll.environment, poll.instance) == ("edge", ENVIRONMENT, "pod-1")
    assert (poll.version, poll.revision, poll.given_version, poll.given_revision) == (1, 1, 1, 1)


def test_a_poll_that_says_nothing_new_is_written_once_a_minute_and_one_that_does_at_once(version):
    secret, poller = make_key("rules:read"), Poller()
    have = ("If-None-Match", '"1.1"')
    poller.ask(secret, have)
    written = [poller.shelf.polls.write(now=time.time())]

    for seconds, header in ((3, have), (59, have), (61, have), (62, ("If-None-Match", '"1.0"')), (63, have)):
        poller.passed_seconds = seconds
        poller.ask(secret, header)
        written.append(poller.shelf.polls.write(now=time.time()))

    assert written == [1, 0, 0, 1, 1, 1]
    assert GatewayPoll.objects.count() == 1


def test_an_older_poll_of_another_process_does_not_undo_a_newer_one(version):
    secret, one, other = make_key("rules:read"), Poller(), Poller()
    one.ask(secret, ("If-None-Match", '"1.0"'))
    other.passed_seconds = 5
    other.ask(secret, ("If-None-Match", '"1.1"'))

    other.shelf.polls.write(now=time.time())
    one.shelf.polls.write(now=time.time())

    assert GatewayPoll.objects.get().revision == 1


def test_a_key_used_at_the_front_is_noted_as_used_to_the_minute(version):
    secret, poller = make_key("rules:read"), Poller()

    used = []
    for seconds in (0, 30, 90):
        poller.passed_seconds = seconds
        poller.ask(secret)
        poller.shelf.polls.write(now=time.time())
        used.append(ApiKey.objects.get().last_used_at)

    assert used[0] is not None
    assert used[0] == used[1] < used[2]


def test_instances_without_end_fill_neither_memory_nor_table(version, monkeypatch):
    monkeypatch.setattr(polls, "MOST_OF_A_GATEWAY", 5)
    monkeypatch.setattr(polls, "MOST", 8)
    one, other, poller = make_key("rules:read", gateway="one"), make_key("rules:read", gateway="other"), Poller()

    for number in range(20):
        assert poller.ask(one, query=f"instance=pod-{number}").status == 200
        assert poller.ask(other, query=f"instance=pod-{number}").status == 200
    poller.shelf.polls.write(now=time.time())

    assert GatewayPoll.objects.count() == 8
    assert GatewayPoll.objects.filter(gateway__name="one").count() <= 5


def test_instances_that_no_longer_poll_make_room(version, monkeypatch):
    monkeypatch.setattr(polls, "MOST_OF_A_GATEWAY", 1)
    secret, poller = make_key("rules:read"), Poller()
    poller.ask(secret, query="instance=old")
    poller.shelf.polls.write(now=time.time())
    an_hour_later = time.time() + polls.FORGOTTEN_SECONDS + 1

    poller.shelf.polls.write(now=an_hour_later)
    poller.ask(secret, query="instance=new")
    poller.shelf.polls.write(now=time.time())

    assert set(GatewayPoll.objects.values_list("instance", flat=True)) == {"old", "new"}


def test_an_environment_without_a_version_is_not_on_the_shelf(version):
    Environment.objects.create(name="empty", created_at=NOON)
    states.renew_all(at=NOON)

    poller = Poller()

    assert set(poller.shelf.documents) == {ENVIRONMENT}
    assert Version.objects.count() == 1
    keys.forget()
