"""Connecting a gateway: its kind, its key shown once, lines that work as they stand, and what is said to be wrong."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from django.utils import timezone
from opentelemetry.util.re import parse_env_headers

from catalog.models import Gateway, GatewayKey, TakesRules
from catalog.selectors import callers
from catalog.services import gateways
from core import turned_away
from core.models import ApiKey, AuditEntry, Organisation
from core.services import keys
from dashboards import connecting
from dashboards.connecting import GROUPS, YOUR_KEY
from dashboards.forms_gateways import KINDS
from dashboards.selectors import connecting as selector
from dashboards.views import connect, connect_words
from routing.models import Environment, GatewayPoll
from routing.rules import exports
from tests.dashboards.seeing import HOSTILE, filled_in, signed_in
from tests.factories import make_key
from tests.usage import making
from usage.formats import FORMATS
from usage.models import LedgerEntry, Receipt, Source

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"tk_[A-Za-z0-9_-]{43}")
RECIPES = list(connecting.recipes())
EVENTS, LITELLM, TRACES = "/api/v1/usage/events", "/api/v1/usage/litellm", "/v1/traces"
MINUTE = timedelta(minutes=1)
CLIENTS = Path(__file__).parents[2] / "clients"


def secret_in(answer) -> str:
    """Return the one secret that an answer shows."""
    (found,) = set(SECRET.findall(answer.content.decode()))
    return found


def text_of(answer) -> str:
    return " ".join(one.text for one in answer.context["lines"])


def as_the_shell_would(lines: str) -> tuple[str, dict[str, str], str]:
    """Let a shell read a curl command; returns the address, the headers and the body that would be sent."""
    script = 'curl() { printf "%s\\0" "$@"; }\n' + lines
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, timeout=10)
    words = done.stdout.decode().split("\0")
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    (address,) = [word for word in words if word.startswith("http")]
    return address, headers, words[words.index("-d") + 1] if "-d" in words else ""


def event(**overrides) -> dict:
    return {
        "id": f"e-{timezone.now().timestamp()}", "time": timezone.now().isoformat(), "use_case": "support-routing",
        "model": "gpt-5.5", "provider": "openai", "input_tokens": 12, "output_tokens": 3,
    } | overrides  # fmt: skip


def litellm(**overrides) -> dict:
    now = timezone.now().timestamp()
    return {
        "id": f"l-{now}", "litellm_call_id": f"l-{now}", "status": "success", "startTime": now, "endTime": now,
        "model": "gpt-5.5", "custom_llm_provider": "openai", "prompt_tokens": 12, "completion_tokens": 3,
        "request_tags": ["use_case:support-routing"],
    } | overrides  # fmt: skip


def send(client, secret, *events, path=EVENTS):
    """Send a body as a gateway does, and book what is in it."""
    given = {"headers": {"Authorization": f"Bearer {secret}"}, "content_type": "application/json"}
    answer = client.post(path, json.dumps(events), **given)
    making.book(at=timezone.now() + timedelta(seconds=1))
    return answer


def polled(name="edge", **overrides):
    given = {"environment": "production", "instance": "a", "polled_at": timezone.now()}
    GatewayPoll.objects.create(gateway=gateways.get(name), **given | overrides)


def told(*, recipe="native", name="edge", key_id=None):
    """Return what the page says of a gateway: steps by id with their states, and findings by id."""
    now = timezone.now()
    facts = selector.facts(gateway_id=gateways.get(name).pk, at=now, key_id=key_id)
    said = connect_words.diagnosis(facts, connecting.recipes()[recipe], now)
    return {step.id: step.state for step in said.steps}, {one.id: one for one in said.findings}


# --- recipes ---


def test_every_recipe_is_whole_and_of_a_kind_and_format_that_there_is():
    for one in connecting.recipes().values():
        assert one.kind in KINDS, one.id
        assert one.format in FORMATS, one.id
        assert one.group in GROUPS, one.id
        assert one.scopes == (("usage:write", "rules:read") if one.rules != "none" else ("usage:write",)), one.id
        assert {line.side for line in one.lines} <= {"usage", "rules", "both"}, one.id
        assert any(line.side in ("usage", "both") for line in one.lines), one.id
        assert one.rules == "none" or any(line.side in ("rules", "both") for line in one.lines), one.id
        assert all(one.title and one.about and one.use_case and one.prompts for one in (one,)), one.id
    assert set(KINDS) == {one.kind for one in connecting.recipes().values()}


def test_what_is_filled_in_is_not_looked_at_again():
    values = {
        "url": "https://a.example",
        "key": "@environment@",
        "environment": "@key@",
        "gateway": "g",
        "s3": "export A=tk_x",
    }

    assert connecting.filled_in("@key@ @environment@ @url@ me@host.example @other@", values) == (
        "@environment@ @key@ https://a.example me@host.example @other@"
    )


def test_lines_can_be_read_by_what_reads_them_and_hold_address_and_key():
    values = {
        "url": "https://toll.example",
        "key": "tk_x",
        "environment": "staging",
        "gateway": "g",
        "s3": "export A=tk_x",
    }
    found = {recipe.id: recipe.filled_in(values) for recipe in connecting.recipes().values()}

    for one in (line for lines in found.values() for line in lines):
        match one.language:
            case "yaml":
                assert yaml.safe_load(one.text)
            case "json":
                assert json.loads(one.text)
            case "python":
                assert ast.parse(one.text)
            case "sh":
                subprocess.run(["/bin/sh", "-n", "-c", one.text], check=True, timeout=10)
            case "env":
                assert all(re.fullmatch(r"[A-Z_]+=\S+", line) for line in one.text.splitlines())
            case _:
                assert one.language in ("text", "js"), one.language
        assert "@" not in re.sub(r"@tollkeeper/|@vercel/", "", one.text)
    for recipe, lines in found.items():
        whole = "\n".join(one.text for one in lines)
        assert ("https://toll.example" in whole, "tk_x" in whole) == (True, True), recipe


def test_litellm_s_lines_retry_bifrost_s_name_the_plugin_and_opentelemetry_s_headers_come_back_as_they_were():
    values = {
        "url": "https://toll.example",
        "key": "tk_x",
        "environment": "production",
        "gateway": "g",
        "s3": "export A=tk_x",
    }
    usage = {
        name: next(one.text for one in connecting.recipes()[name].filled_in(values) if one.side == "usage")
        for name in ("litellm", "bifrost", "otlp")
    }

    callback = yaml.safe_load(usage["litellm"])["callback_settings"]["tollkeeper"]
    assert callback["endpoint"] == "https://toll.example/api/v1/usage/litellm"
    assert callback["headers"] == {"Authorization": "Bearer tk_x"}
    assert (callback["max_retries"], callback["callback_type"]) == (3, "generic_api")
    (plugin,) = json.loads(usage["bifrost"])["plugins"]
    assert plugin["config"]["headers"] == {"Authorization": "Bearer tk_x"}
    assert plugin["config"]["collector_url"] == "https://toll.example/v1/traces"
    environment = dict(line.split("=", 1) for line in usage["otlp"].splitlines())
    sent = parse_env_headers(environment["OTEL_EXPORTER_OTLP_TRACES_HEADERS"], liberal=True)
    assert sent == {"authorization": "Bearer tk_x"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_event_to_paste_is_taken_counted_and_turns_the_page_green(client, settings, recipe):
    settings.BASE_URL = "http://testserver"
    making.make_priced_offering()
    signed_in(client, "platform")
    shown = client.post("/gateways/new/", filled_in(kind=recipe)).context

    address, headers, body = as_the_shell_would(shown["send"])
    path = address.removeprefix("http://testserver")
    answer = client.post(path, body, content_type=headers.pop("Content-Type"), headers=headers)
    making.book(at=timezone.now() + timedelta(seconds=1))
    if shown["recipe"].rules == TakesRules.POLL:
        polled()

    assert answer.status_code in (200, 201, 202), answer.content
    receipt = Receipt.objects.get()
    assert (receipt.format, receipt.booked) == (shown["recipe"].format, 1)
    entry = LedgerEntry.objects.select_related("use_case").get()
    assert (entry.use_case.name, entry.uncached_input_tokens, entry.output_tokens) == ("hello-tollkeeper", 12, 3)
    watch = client.get(shown["watch_url"], headers={"HX-Request": "true"})
    assert watch.context["told"].done, watch.content.decode()
    # No rules are in force: that is said to whoever polls.
    assert watch.context["told"].findings == [] or shown["recipe"].rules == TakesRules.POLL
    assert b"hx-trigger" not in watch.content


# --- choosing, making, showing once ---


def test_the_kinds_are_offered_and_one_that_there_is_not_is_said_so(client):
    signed_in(client, "platform")

    page = client.get("/gateways/new/")
    assert [link in page.content.decode() for link in (f"?kind={one}" for one in RECIPES)] == [True] * len(RECIPES)
    for kind, status in (("none", 404), ("", 404)):
        answer = client.get("/gateways/new/", {"kind": kind})
        assert (answer.status_code, b"no such kind" in answer.content) == (status, True)


def test_the_form_has_a_free_name_the_environments_and_leads_to_those_that_are_connected(client):
    gateways.create(name="litellm", kind="litellm", by="ann", at=timezone.now())
    Environment.objects.create(name="staging", created_at=timezone.now())
    signed_in(client, "platform")

    answer = client.get("/gateways/new/?kind=litellm-hook")

    form = answer.context["form"]
    assert form["name"].value() == "litellm-2"
    assert "staging" in form["environment"].help_text
    pk = gateways.get("litellm").pk
    assert f"/gateways/{pk}/connect/?as=litellm-hook" in answer.content.decode()


def test_a_new_gateway_comes_with_a_key_that_is_shown_once_and_kept_by_no_cache(client):
    person = signed_in(client, "platform")

    answer = client.post("/gateways/new/", filled_in(environment="staging", kind="cloudflare"))

    secret = secret_in(answer)
    key = ApiKey.objects.get()
    caller = callers.by_digest(keys.digest_of(secret))
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert caller is not None
    assert (caller.gateway, caller.environment, caller.scopes) == ("edge", "staging", ("usage:write", "rules:read"))
    assert (Gateway.objects.get().kind, key.created_by) == ("cloudflare", person.email)
    for path in ("/gateways/", f"/gateways/{Gateway.objects.get().pk}/", answer.context["address"]):
        assert secret not in client.get(path).content.decode()
    assert secret not in json.dumps(list(AuditEntry.objects.values("before", "after", "reason")))
    assert secret not in json.dumps(dict(client.session))


def test_the_lines_hold_the_address_that_was_set_else_the_one_the_page_was_asked_at(client, settings):
    signed_in(client, "platform")

    settings.BASE_URL = "https://toll.example"
    given = client.post("/gateways/new/", filled_in(environment="staging")).context
    settings.BASE_URL = connect._UNSET
    asked = client.post("/gateways/new/", filled_in(name="other"), headers={"host": "testserver"})

    assert "https://toll.example/api/v1/rules/staging" in shlex.split(given["poll"])
    assert "https://toll.example/api/v1/usage/events" in shlex.split(given["send"])
    for lines in (given["send"], given["poll"]):
        assert f"Authorization: Bearer {given['secret']}" in shlex.split(lines)
    assert "http://testserver/api/v1/usage/events" in shlex.split(asked.context["send"])
    assert "only this machine reaches" not in asked.content.decode()
    settings.BASE_URL = "http://127.0.0.1:8100"
    assert "only this machine reaches" in client.get(asked.context["address"]).content.decode()


def test_a_key_that_may_not_report_or_fetch_gets_no_lines_for_it(client):
    signed_in(client, "platform")

    sends = client.post("/gateways/new/", filled_in(scopes=["usage:write"])).context
    reads = client.post("/gateways/new/", filled_in(name="other", scopes=["rules:read"])).context

    assert (bool(sends["send"]), sends["poll"], {one.side for one in sends["lines"]}) == (True, "", {"usage"})
    assert (reads["send"], bool(reads["poll"]), {one.side for one in reads["lines"]}) == ("", True, {"rules"})


def test_a_reload_makes_no_second_gateway_and_no_second_key_and_leads_to_the_lines_with_a_placeholder(client):
    signed_in(client, "platform")
    client.post("/gateways/new/", filled_in())
    pk = Gateway.objects.get().pk
    form = {"name": "blue", "environment": "production", "scopes": ["usage:write"], "newest": ApiKey.objects.get().pk}
    client.post(f"/gateways/{pk}/keys/?as=native", form)

    connected = client.post("/gateways/new/", filled_in(), follow=True)
    made = client.post(f"/gateways/{pk}/keys/?as=native", form, follow=True)

    assert connected.redirect_chain[0][0].startswith(f"/gateways/{pk}/connect/?as=native&key=")
    page = connected.content.decode()
    assert "rotate it if you missed it" in page
    assert YOUR_KEY in page
    assert f"/gateways/keys/{ApiKey.objects.earliest('id').pk}/rotate/?as=native" in page
    assert "so none was made now" in made.content.decode()
    assert not SECRET.search(page + made.content.decode())
    assert (Gateway.objects.count(), ApiKey.objects.count()) == (1, 2)


def test_a_name_that_somebody_else_took_is_refused_and_leads_nowhere(client):
    signed_in(client, "platform")
    gateways.create_key(name="edge", gateway="edge", scopes=["read"], by="ann", at=timezone.now())

    answer = client.post("/gateways/new/", filled_in())

    assert (answer.status_code, ApiKey.objects.count()) == (422, 1)
    assert "There is a gateway &#x27;edge&#x27; already" in answer.content.decode()


def test_everything_that_is_wrong_is_shown_at_once_and_nothing_is_made(client):
    signed_in(client, "platform")
    wrong = filled_in(name="my edge", environment="", scopes=[], expires_on="2020-01-01")

    answer = client.post("/gateways/new/", wrong)

    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"name", "environment", "scopes", "expires_on"}
    assert not Gateway.objects.exists()


def test_what_no_form_offers_is_refused(client):
    signed_in(client, "admin")

    for wrong in (
        {"kind": "none of them"},
        {"scopes": ["everything"]},
        {"expires_on": "9999-12-31"},
        {"expires_on": "soon"},
        {"name": "ed\0ge"},
        {"name": "x" * 129},
    ):
        assert client.post("/gateways/new/", filled_in(**wrong)).status_code == 422, wrong
    assert (Gateway.objects.count(), ApiKey.objects.count()) == (0, 0)


def test_a_key_works_to_the_end_of_the_day_that_was_chosen(client):
    Organisation.objects.update(zone="Europe/Berlin")
    signed_in(client, "platform")

    client.post("/gateways/new/", filled_in(expires_on="2090-07-01"))

    assert ApiKey.objects.get().expires_at == datetime(2090, 7, 1, 22, tzinfo=UTC)


def test_rotating_from_the_page_of_a_kind_comes_back_to_the_lines_of_that_kind(client):
    make_key("usage:write", "rules:read")
    Gateway.objects.update(kind="litellm")
    signed_in(client, "platform")
    pk = ApiKey.objects.get().pk

    answer = client.post(f"/gateways/keys/{pk}/rotate/?as=litellm-hook", {"reason": "every quarter"})

    assert answer.context["recipe"].id == "litellm-hook"
    assert secret_in(answer) in text_of(answer)


# --- the page of a gateway that there is ---


def test_the_page_costs_the_same_for_many_keys_and_bodies(client, django_assert_max_num_queries):
    secret = make_key("usage:write", "rules:read")
    for number in range(4):
        make_key("rules:read", name=f"key {number}")
        send(client, secret, event(), event(model="mystery"))
        send(client, f"tk_wrong{number}", event())
    polled()
    signed_in(client, "platform")

    with django_assert_max_num_queries(19):
        assert client.get(f"/gateways/{gateways.get('edge').pk}/connect/").status_code == 200


def test_a_gateway_is_taken_for_what_it_is_by_its_kind_and_how_it_takes_rules(client):
    make_key("rules:read")
    signed_in(client, "viewer")

    def taken_for(kind, takes_rules=TakesRules.POLL):
        Gateway.objects.update(kind=kind, takes_rules=takes_rules)
        return client.get(f"/gateways/{gateways.get('edge').pk}/connect/").context["recipe"].id

    kinds = ("litellm", "native", "otlp", "bifrost", "something of another release")
    assert [taken_for(kind) for kind in kinds] == ["litellm-hook", "native", "otlp", "bifrost", "native"]
    assert taken_for("litellm", "export") == taken_for("litellm", "none") == "litellm"


def test_how_it_takes_rules_is_kept_so_that_drafts_are_held_to_its_form_unless_it_only_reports(client):
    signed_in(client, "platform")
    for name, kind, given in (
        ("a", "litellm-hook", {}),
        ("b", "litellm", {}),
        ("c", "litellm", {"takes_rules": "none"}),
        ("d", "otlp", {"takes_rules": "export"}),
    ):
        assert client.post("/gateways/new/", filled_in(name=name, kind=kind, **given)).status_code == 200, name

    kept = dict(Gateway.objects.values_list("name", "takes_rules"))
    assert kept == {"a": "poll", "b": "export", "c": "none", "d": "none"}
    assert client.post("/gateways/new/", filled_in(name="e", kind="bifrost", takes_rules="poll")).status_code == 422


def test_litellm_without_the_hook_gets_what_signs_requests_for_its_configuration_once(client):
    signed_in(client, "platform")

    made = client.post("/gateways/new/", filled_in(kind="litellm"))
    given = dict(re.findall(r"export (\w+)=(\S+)", text_of(made)))
    ApiKey.objects.update(name="of blue")
    again = text_of(client.get(made.context["address"]))

    assert given["AWS_ACCESS_KEY_ID"] == f"TK{ApiKey.objects.get().pk}"
    assert given["LITELLM_CONFIG_BUCKET_NAME"] == "production"
    assert given["AWS_SECRET_ACCESS_KEY"] not in again
    assert "manage.py s3_secret 'of blue' --url" in again


def test_what_lines_import_is_there_to_import():
    exported = {
        "python": (CLIENTS / "python/src/tollkeeper_client/__init__.py").read_text(),
        "langchain": (CLIENTS / "python/src/tollkeeper_client/langchain.py").read_text(),
        "javascript": (CLIENTS / "javascript/src/index.mjs").read_text(),
        "litellm-hook": (CLIENTS / "litellm/tollkeeper_litellm.py").read_text(),
    }
    exported["langchain"] += exported["python"]
    for recipe, there in exported.items():
        text = "\n".join(line.text for line in connecting.recipes()[recipe].lines)
        named = re.findall(r"from tollkeeper_\S+ import (.+)|import \{ (.+) \} from|tollkeeper_litellm\.(hook)", text)
        names = {name for found in named for part in found if part for name in part.split(", ")}
        assert names, recipe
        assert [name for name in names if not re.search(rf"\b{name}\b", there)] == [], recipe


def test_every_form_that_lines_ask_for_is_one_that_there_is():
    named = {
        form
        for recipe in connecting.recipes().values()
        for line in recipe.lines
        for form in re.findall(r"export\?format=(\w+)", line.text)
    }

    assert named <= set(exports.FORMS)
    assert {"bifrost", "cloudflare", "openrouter", "vercel", "openclaw"} == named


def test_a_viewer_sees_how_it_stands_and_no_way_to_make_a_key(client):
    make_key("usage:write")
    pk = gateways.get("edge").pk
    signed_in(client, "viewer")

    page = client.get(f"/gateways/{pk}/connect/")

    assert page.status_code == 200
    assert not [word for word in ("Rotate", "Make another key") if word in page.content.decode()]
    assert f"/gateways/{pk}/connect/" in client.get(f"/gateways/{pk}/").content.decode()
    for path in ("/gateways/new/", "/gateways/new/?kind=native"):
        assert client.get(path).status_code == 403
    assert client.post("/gateways/new/", filled_in(name="mine")).status_code == 403
    client.logout()
    assert client.get(f"/gateways/{pk}/connect/")["Location"].startswith("/accounts/login/")


def test_an_address_that_nobody_made_has_no_page(client):
    make_key("read")
    signed_in(client, "viewer")

    for query in ("?as=none", "?key=x", "?key=0", "?looked=-1", "?looked=1e3"):
        assert client.get(f"/gateways/{gateways.get('edge').pk}/connect/{query}").status_code == 404, query
    for pk in (999, 10**30):
        assert client.get(f"/gateways/{pk}/connect/").status_code == 404


def test_a_key_of_another_gateway_in_the_address_changes_nothing_and_a_retired_one_connects_no_more(client):
    make_key("usage:write")
    make_key("usage:write", gateway="other")
    pk, other = gateways.get("edge").pk, GatewayKey.objects.get(gateway__name="other").key_id
    signed_in(client, "viewer")

    answer = client.get(f"/gateways/{pk}/connect/?key={other}")
    gateways.retire(gateway=gateways.get("edge"), by="ann", at=timezone.now())

    assert answer.context["told"].steps[0].words.startswith("Nothing came with")
    assert "connects no more" in client.get(f"/gateways/{pk}/connect/", follow=True).content.decode()


def test_it_looks_by_itself_until_it_works_or_ten_minutes_are_over_and_has_a_link_without_scripts(client):
    make_key("usage:write")
    signed_in(client, "viewer")
    path = f"/gateways/{gateways.get('edge').pk}/connect/?as=otlp"

    first = client.get(path).content.decode()
    watch = client.get(path, headers={"HX-Request": "true"})
    last = client.get(f"{path}&looked={connect.LOOKS}", headers={"HX-Request": "true"}).content.decode()

    assert "every 3s" in first
    assert "looked=1" in first
    assert "<html" not in watch.content.decode()
    assert "HX-Request" in watch["Vary"]
    assert "every 3s" not in last
    assert f'href="{path.replace("&", "&amp;")}"' in last


def test_names_that_are_markup_stay_text(client):
    make_key("rules:read", "usage:write", name=HOSTILE, by=HOSTILE)
    edge = gateways.get("edge")
    Gateway.objects.filter(pk=edge.pk).update(name=HOSTILE)
    GatewayKey.objects.update(environment=HOSTILE)
    GatewayPoll.objects.create(
        gateway=edge, environment="o'ther", instance="a", polled_at=timezone.now(), rejected_reason=HOSTILE
    )
    signed_in(client, "platform")

    page = client.get(f"/gateways/{edge.pk}/connect/").content.decode()

    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


# --- steps ---


def test_steps_turn_green_one_by_one(client):
    making.make_priced_offering()
    secret = make_key("usage:write", "rules:read", at=timezone.now())
    assert set(told()[0].values()) == {"waiting"}

    answer = client.post(
        EVENTS, json.dumps(event()), content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 202
    assert told()[0] == {"key": "done", "rules": "waiting", "arrived": "done", "booked": "waiting", "priced": "waiting"}
    making.book(at=timezone.now() + timedelta(seconds=1))
    polled()

    assert set(told()[0].values()) == {"done"}


def test_rules_are_not_needed_where_they_are_brought_or_none_are_taken_and_a_key_that_may_not_fetch_is_wrong():
    make_key("usage:write")

    assert told(recipe="otlp")[0]["rules"] == "unneeded"
    assert told(recipe="bifrost")[0]["rules"] == "unneeded"
    assert told(recipe="native")[0]["rules"] == "wrong"


def test_a_gateway_without_a_key_that_works_says_so():
    make_key("usage:write", expires_at=timezone.now() - MINUTE, at=timezone.now() - 2 * MINUTE)

    assert told()[0]["key"] == "wrong"


def test_what_came_before_a_new_key_was_made_does_not_turn_its_page_green(client):
    making.make_priced_offering()
    send(client, make_key("usage:write", "rules:read"), event())
    making.book()
    now = timezone.now() + timedelta(seconds=5)
    make_key("usage:write", "rules:read", name="new", at=now)

    steps, _ = told(key_id=ApiKey.objects.get(name="new").pk)

    assert (steps["key"], steps["arrived"]) == ("waiting", "waiting")
    assert told()[0]["arrived"] == "done"


# --- what is wrong ---


def test_a_key_that_nobody_knows_is_told_with_its_start_the_place_and_how_often(client):
    make_key("usage:write")
    for _ in range(3):
        send(client, "tk_ab12" + "x" * 39, event())

    _, findings = told()

    (found,) = findings.values()
    assert "starting tk_ab12, was tried 3 times at usage/events" in found.title
    assert "may be another gateway's" in found.words


def test_a_revoked_key_is_told_on_its_gateway_s_page_and_on_no_other(client):
    old = make_key("usage:write", name="blue")
    gateways.revoke_key(key=ApiKey.objects.get(), reason="over", by="ann", at=timezone.now())
    make_key("usage:write", name="green")
    make_key("usage:write", gateway="other")
    send(client, old, event())

    own, others = told()[1], told(name="other")[1]

    (found,) = own.values()
    assert "A key of it that has ended was tried once at usage/events" in found.title
    assert "blue" in found.words
    assert others == {}


def test_what_was_pasted_in_a_key_s_place_is_named(client):
    make_key("usage:write")
    for given in (YOUR_KEY, "$KEY", '"tk_abc"', "sk-proj-1", ""):
        send(client, given, event())

    titles = sorted(found.title.partition(" came once")[0] for found in told()[1].values())
    assert titles == [
        "A key in quotes",
        "Nothing in the key's place",
        "The name of a variable instead of a key",
        "The placeholder YOUR-KEY",
        "What looks like a provider's key",
    ]


def test_a_key_without_the_scope_is_told_with_the_scope_that_it_takes(client):
    reads = make_key("rules:read")
    send(client, reads, event())

    found = told()[1]["refused-0"]
    assert "may not do what it tried once at usage/events" in found.title
    assert "takes usage:write" in found.words


def test_what_came_without_a_key_and_what_nobody_can_read_is_told(client):
    secret = make_key("usage:write")
    client.post(LITELLM, "{}", content_type="application/json")
    given = {"headers": {"Authorization": f"Bearer {secret}"}, "content_type": "application/json"}
    client.post(LITELLM, "<html>", **given)

    titles = " ".join(one.title for one in told(recipe="litellm")[1].values())
    assert "without a key once at usage/litellm" in titles
    assert "could not be read once at usage/litellm" in titles


@pytest.mark.usefixtures("client")  # which empties Redis
def test_refused_signatures_are_told_on_the_page_of_the_gateway_that_they_name():
    make_key("rules:read")
    make_key("rules:read", gateway="other")
    key = ApiKey.objects.get(gateway_key__gateway__name="edge")
    of = {"path": "/s3/production/litellm/config.yaml", "at": timezone.now()}

    turned_away.note_signature(key_id=key.pk, skewed=False, **of)
    turned_away.note_signature(key_id=key.pk, skewed=True, **of)
    own, others = ({one.title: one.words for one in told(name=name)[1].values()} for name in ("edge", "other"))
    turned_away.note_signature(key_id=0, skewed=False, **of)
    (of_nobody,) = told(name="other")[1].values()
    gateways.revoke_key(key=key, reason="over", by="ann", at=timezone.now())
    ended = {one.title for one in told()[1].values()}

    where = "once at /s3/production/litellm/config.yaml, just now"
    assert set(own) == {
        f"A request for the bucket was not signed as it has to be {where}",
        f"Its clock is wrong: it was refused {where}",
    }
    assert others == {}
    assert "may be another gateway's" in of_nobody.words
    assert f"A key of it that has ended was tried {where}" in ended


def test_an_assistant_s_key_is_told_of_where_it_was_refused(client):
    secret = make_key("usage:write")
    client.post("/mcp", "{}", headers={"Authorization": f"Bearer {secret}"}, content_type="application/json")

    found = told()[1]["refused-0"]
    assert "may not do what it tried once at /mcp" in found.title
    assert "takes rules:read" in found.words


def test_calls_without_a_use_case_without_a_price_and_without_counts_are_told_with_their_share(client):
    making.make_priced_offering()
    secret = make_key("usage:write")
    nothing = litellm(id="n", litellm_call_id="n", prompt_tokens=0, completion_tokens=0)
    send(
        client, secret, litellm(), litellm(id="u", litellm_call_id="u", request_tags=[]),
        litellm(id="m", litellm_call_id="m", model="mystery"), nothing, path=LITELLM,
    )  # fmt: skip

    steps, findings = told(recipe="litellm")

    assert findings["use-case"].title.startswith("1 of 4 requests since ")
    assert "use_case:NAME" in findings["use-case"].words
    assert "mystery@openai" in findings["unpriced"].words
    assert findings["uncounted"].title.startswith("1 of 4 requests")
    assert steps["priced"] == "done"


def test_prompts_that_are_being_sent_are_told_with_how_to_turn_them_off_until_they_are(client):
    making.make_priced_offering()
    secret = make_key("usage:write")
    send(client, secret, litellm(messages=[{"role": "user", "content": "hi"}]), path=LITELLM)

    found = told(recipe="litellm")[1]["prompts"]
    assert "turn_off_message_logging" in found.words
    for number in range(3):
        send(client, secret, litellm(id=f"{number}", litellm_call_id=f"{number}"), path=LITELLM)
    assert "prompts" not in told(recipe="litellm")[1]


def test_opentelemetry_beside_the_callback_is_told_and_a_format_that_counts_for_nothing_is_an_error(client):
    making.make_priced_offering()
    secret = make_key("usage:write")
    send(client, secret, litellm(), path=LITELLM)
    send(client, secret, event())

    found = told(recipe="litellm")[1]["format"]
    assert (found.tone, found.title) == ("warning", "It reports in two ways: litellm and native")
    Source.objects.update(accounting_format="otlp")
    assert told(recipe="litellm")[1]["format"].tone == "error"


def test_events_that_are_refused_and_clocks_that_run_ahead_are_told(client):
    secret = make_key("usage:write")
    send(client, secret, event(time=(timezone.now() + 10 * MINUTE).isoformat()), {"id": "1"})

    _, findings = told()
    assert findings["rejected"].words == "time: required and missing (once)."
    assert "ahead by 10 min" in findings["clock"].title


def test_a_body_that_could_not_be_booked_is_told_with_its_error(client):
    send(client, make_key("usage:write"), event())
    Receipt.objects.update(state="failed", booked=0, done_at=None, error="the price is broken")

    _, findings = told()
    assert "the price is broken" in findings["aside"].words


def test_rules_without_usage_and_usage_without_rules_are_told_after_a_while(client):
    secret = make_key("usage:write", "rules:read")
    polled(polled_at=timezone.now() - 3 * MINUTE)
    make_key("usage:write", "rules:read", gateway="other")
    assert "no-usage" in told()[1]
    assert "no-polls" not in told(name="other")[1]

    GatewayPoll.objects.all().delete()
    send(client, secret, event())
    assert "no-polls" not in told()[1]  # it had no time yet
    Receipt.objects.update(received_at=timezone.now() - 3 * MINUTE)
    assert "no-polls" in told()[1]
    Gateway.objects.filter(name="edge").update(takes_rules=TakesRules.NONE)
    steps, findings = told()
    assert ("no-polls" in findings, steps["rules"]) == (False, connect_words.UNNEEDED)


def test_a_key_that_was_used_for_traces_without_calls_is_told(client):
    secret = make_key("usage:write")
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1"}]}]}]}
    given = {"headers": {"Authorization": f"Bearer {secret}"}, "content_type": "application/json"}
    assert client.post(TRACES, json.dumps(body), **given).status_code == 200

    assert "no-calls" in told(recipe="otlp")[1]


def test_polls_of_another_environment_an_old_client_and_a_refused_version_are_told():
    make_key("rules:read", environment="staging")
    now = timezone.now()
    Environment.objects.create(name="staging", created_at=now)
    polled(environment="production", spec=0, client="old/0.1")
    polled(environment="staging")

    _, findings = told()

    assert (
        "asks for the rules of production, and its keys stand for staging" in findings["environment-production"].title
    )
    assert "update old/0.1" in findings["spec"].words
    assert findings["none-staging"].tone == "info"
