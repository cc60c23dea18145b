"""What bodies carry and must never be kept: sent in every format, booked, and looked for in every byte of the database.

Each secret planted holds a word of its own, so a failure names the place. A format that is registered and has no body
here fails the test: add one, with secrets wherever its senders could have them.
"""

import base64
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from django.db import connection
from django.utils import timezone

from tests.factories import make_key
from tests.usage.making import make_gateway
from usage.api_intake import format_settings
from usage.formats import FILE_FORMATS, FORMATS
from usage.models import HeldEvent, LedgerEntry, Receipt, UsageImport
from usage.services import booking, imports, jobs

pytestmark = pytest.mark.django_db
PAYLOADS = Path(__file__).parents[1] / "payloads"
NATIVE = "/api/v1/usage/events"
KEPT = "usecasethatiskept"


class Secrets:
    """Makes secrets, each with a word that nothing else has, and remembers the words with what they were for."""

    def __init__(self):
        self.words = {}

    def _word(self, place):
        word = f"zq{len(self.words):03d}vx"
        self.words[word] = place
        return word

    def text(self, place):
        return f"the merger with {self._word(place)} stays between us"

    def email(self, place):
        return f"{self._word(place)}.doe@customer-mail.example"

    def key(self, place, prefix="sk-proj-"):
        return f"{prefix}{self._word(place)}4f9ab8c7d6e5f4a3b2c1d0"

    def traceback(self, place):
        return f'Traceback (most recent call last):\n  File "/srv/app/{self._word(place)}.py", line 7, in call\nBoom'

    def found_in(self, text):
        return sorted(place for word, place in self.words.items() if word in text)


def labels(plant, place):
    """Return what people write into labels that should not be there."""
    return {
        "owner": plant.email(f"{place}: an address"),
        "note": f"by {plant.email(f'{place}: an address in a sentence')}",
        "key": plant.key(f"{place}: a provider's key"),
        "own": plant.key(f"{place}: a key of ours", "tk_"),
        "groq": plant.key(f"{place}: another provider's key", "gsk_"),
        "google": plant.key(f"{place}: Google's key", "AIzaSyD"),
        "token": plant.key(f"{place}: a token", "eyJhbGciOiJI") + ".eyJzdWIiOiIxMjM0",
        plant.email(f"{place}: an address as a name"): "x",
    }


def conversation(plant):
    return {
        "messages": [{"role": "user", "content": plant.text("prompt")}],
        "prompt": plant.text("prompt"),
        "completion": plant.text("completion"),
        "response": {"choices": [{"message": {"content": plant.text("answer")}}]},
        "headers": {"authorization": f"Bearer {plant.key('header')}", "cookie": plant.text("cookie")},
        "traceback": plant.traceback("traceback"),
        "metadata": {"email": plant.email("metadata"), "note": plant.text("metadata")},
    }


def native_event(plant, **overrides):
    return {
        "id": "e-1", "time": timezone.now().isoformat(), "use_case": KEPT, "model": "gpt-5.5", "input_tokens": 12,
        "output_tokens": 3, "user": plant.email("user"), "end_user": plant.email("end user"),
        "session": f"session of {plant.email('session')}", "team": plant.email("team"),
        "call_group": plant.key("call group"), "rule_id": plant.email("rule"), "route_reason": plant.key("reason"),
        "tags": labels(plant, "tags"), "context": labels(plant, "context"), **conversation(plant), **overrides,
    }  # fmt: skip


def native(plant):
    structured = {
        "specversion": "1.0", "type": plant.text("type"), "source": plant.email("source"), "id": plant.email("id"),
        "subject": plant.email("subject"), "extension": plant.key("extension"),
        "data": native_event(plant, id=None) | {"voids": None},
    }  # fmt: skip
    encoded = base64.b64encode(json.dumps(native_event(plant, id="e-2")).encode()).decode()
    wrapped = structured | {"id": "2", "data": None, "data_base64": encoded}
    in_headers = {
        "ce-specversion": "1.0", "ce-id": plant.email("ce-id"), "ce-source": plant.text("ce-source"),
        "ce-subject": plant.email("ce-subject"), "x-prompt": plant.text("header"), "cookie": plant.key("cookie"),
    }  # fmt: skip
    bad = [native_event(plant, id=f"bad-{n}", **{field: plant.text(f"wrong {field}")}) for n, field in enumerate(WRONG)]
    usage = {"input_tokens": 12, "output_tokens": 3, "note": plant.text("usage")}
    with_usage = native_event(plant, id="e-3", usage=usage, input_tokens=None, output_tokens=None)
    voiding = native_event(plant, id="e-4", voids="e-1")
    yield NATIVE, [native_event(plant), *bad, with_usage, voiding], {}
    yield NATIVE, native_event(plant), {}  # the id again with other content: a conflict, which is kept for a look
    yield NATIVE, native_event(plant, id="old", time=(timezone.now() - timedelta(days=40)).isoformat()), {}
    yield NATIVE, [structured, wrapped], {"content-type": "application/cloudevents-batch+json"}
    yield NATIVE, native_event(plant, id=None), in_headers


WRONG = ("time", "status", "input_tokens", "reported_cost_usd", "latency_ms", "rules_version", "usage", "model", "tags")


def litellm(plant):
    now = timezone.now().timestamp()
    for path in sorted((PAYLOADS / "litellm").glob("*.json")):
        records = json.loads(path.read_text())
        for record in records if isinstance(records, list) else [records]:
            record |= {"startTime": now - 2, "endTime": now - 1, "end_user": plant.email("end user")}
            record |= conversation(plant) | {"api_key": plant.key("api_key"), "metadata": record["metadata"] or {}}
            record |= {name: plant.text(name) for name in ("error_str", "guardrail_information", "model_parameters")}
            record["error_information"] = {
                "traceback": plant.traceback("error"), "error_message": plant.text("error"),
            }  # fmt: skip
            record["session_id"] = plant.email("session")
            record["request_tags"] = [
                f"use_case:{KEPT}", *(f"{name}:{value}" for name, value in labels(plant, "tags").items()),
            ]  # fmt: skip
            record["metadata"] |= {
                "user_api_key_user_id": plant.email("user"), "user_api_key_user_email": plant.email("user"),
                "user_api_key_team_id": plant.email("team"), "requester_metadata": conversation(plant),
                "requester_custom_headers": {"x-api-key": plant.key("header"), "x-use-case": plant.email("header")},
                "routing_decision": {"router_model_name": plant.email("rule"), "cause": plant.key("cause")},
                "spend_logs_metadata": {"use_case": plant.key("spend metadata"), "note": plant.text("note")},
            }  # fmt: skip
            yield "/api/v1/usage/litellm", record, {}


def promptlayer(plant):
    now = timezone.now().timestamp()
    request = json.loads((PAYLOADS / "promptlayer" / "0001_log-request.json").read_text())
    request |= {
        "request_start_time": now - 2, "request_end_time": now - 1, "input": plant.text("input"),
        "output": plant.text("output"), "prompt_input_variables": {"a": plant.text("variable")},
        "parameters": {"system": plant.text("parameters")}, "function_name": plant.text("function"),
        "error_message": plant.traceback("error"), "error_type": plant.text("error type"),
        "prompt_name": plant.email("prompt's name"), "api_type": plant.key("api type"),
        "tags": [f"use_case:{KEPT}", *(f"{name}:{value}" for name, value in labels(plant, "tags").items())],
        "metadata": {
            "user": plant.email("user"), "session": plant.email("session"), "team": plant.key("team"),
            "use_case": plant.email("use case"), **labels(plant, "metadata"),
        },
    }  # fmt: skip
    yield "/log-request", request, {}
    yield "/log-request", request | {"input_tokens": plant.text("a count")}, {}


def otlp(plant):
    said = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5.5",
        "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3, "tollkeeper.use_case": KEPT,
        "gen_ai.response.id": plant.email("response id"), "user.id": plant.email("user"),
        "session.id": plant.email("session"), "tollkeeper.team": plant.key("team"),
        "tollkeeper.rule_id": plant.email("rule"), "litellm.call_id": plant.key("call"),
        "gen_ai.agent.name": plant.text("agent"), "llm.user": plant.email("user"),
        "metadata.requester_metadata": str(conversation(plant)),
        "metadata.user_api_key_user_email": plant.email("metadata"),
        "llm.invocation_parameters": json.dumps({"system": plant.text("parameters")}),
        "tags": json.dumps([f"{name}:{value}" for name, value in labels(plant, "tags").items()]),
        **{f"trace.metadata.{name}": value for name, value in labels(plant, "trace metadata").items()},
        **{name: plant.text(name) for name in (
            "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.content", "gen_ai.input.messages",
            "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.prompt_json", "gen_ai.completion_json",
            "input.value", "output.value", "llm.input_messages.0.message.content", "ai.prompt", "ai.response.text",
            "ai.prompt.messages", "traceloop.entity.input", "http.request.header.authorization", "exception.stacktrace",
        )},
    }  # fmt: skip
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "kind": 3,
        "name": plant.text("span"), "startTimeUnixNano": nanoseconds(-2), "endTimeUnixNano": nanoseconds(-1),
        "attributes": attributes(said), "traceState": plant.text("trace state"),
        "status": {"code": 2, "message": plant.traceback("status")},
        "events": [{"name": "gen_ai.content.prompt", "timeUnixNano": nanoseconds(-1),
                    "attributes": attributes({"gen_ai.prompt": plant.text("event")})}],
        "links": [{"attributes": attributes({"a": plant.text("link")})}],
    }  # fmt: skip
    bad = span | {"spanId": "b7ad6b7169203332"}
    bad["attributes"] = attributes(said | {"gen_ai.usage.input_tokens": plant.text("a count")})
    resource = {"attributes": attributes({"service.name": plant.text("service"), "host.name": plant.text("host")})}
    scope = {"name": plant.email("scope"), "version": plant.text("version")}
    spans = [{"scope": scope, "spans": [span, bad]}]
    yield "/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": spans}]}, {}


def nanoseconds(seconds):
    return str(int((timezone.now().timestamp() + seconds) * 1e9))


def attributes(values):
    return [
        {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for name, value in values.items()
    ]


SENT = {"native": native, "litellm": litellm, "promptlayer": promptlayer, "otlp": otlp}


def native_file(plant):
    return "\n".join(json.dumps(native_event(plant, id=f"f-{n}")) for n in range(2)), {}


def litellm_file(plant):
    return json.dumps([record for _, record, _ in litellm(plant)]), {}


def spend_logs_file(plant):
    now = timezone.now().isoformat()
    row = {
        "request_id": "r-1", "startTime": now, "endTime": now, "model": "gpt-5.5", "prompt_tokens": 12,
        "completion_tokens": 3, "spend": 0.1, "api_key": plant.key("api_key"), "user": plant.email("user"),
        "end_user": plant.email("end user"), "team_id": plant.key("team"), "session_id": plant.email("session"),
        "request_tags": [f"use_case:{KEPT}", *(f"{name}:{value}" for name, value in labels(plant, "tags").items())],
        "proxy_server_request": conversation(plant), "requester_ip_address": plant.text("address"),
        **conversation(plant),
    }  # fmt: skip
    row["metadata"] |= {"user_api_key_alias": plant.key("alias"), "spend_logs_metadata": conversation(plant)}
    return json.dumps([row]), {}


def cloudflare_logs_file(plant):
    row = {
        "id": "c-1", "created_at": timezone.now().isoformat(), "provider": "openai", "model": "gpt-5.5",
        "success": True, "tokens_in": 12, "tokens_out": 3, "cost": 0.1, "request_head": plant.text("request"),
        "response_head": plant.text("response"), "path": plant.text("path"), **conversation(plant),
        "metadata": json.dumps({"use_case": KEPT, "user": plant.email("user"), **labels(plant, "metadata")}),
    }  # fmt: skip
    return json.dumps(row), {}


def otlp_file(plant):
    return "\n".join(json.dumps(body) for _, body, _ in otlp(plant)), {}


def csv_file(plant):
    row = {
        "when": timezone.now().isoformat(), "model": "gpt-5.5", "input": "12", "output": "3", "for": KEPT,
        "user": plant.email("user"), "session": plant.key("session"), "team": plant.email("team"),
        "prompt": plant.text("prompt"), "answer": plant.text("answer"),
    }  # fmt: skip
    columns = {
        "time": "when", "model": "model", "input_tokens": "input", "output_tokens": "output", "use_case": "for",
        "user": "user", "session": "session", "team": "team",
    }  # fmt: skip
    return ",".join(row) + "\n" + ",".join(row.values()) + "\n", {"columns": columns, "zone": "UTC"}


FILES = {
    "native": native_file,
    "litellm": litellm_file,
    "spend-logs": spend_logs_file,
    "cloudflare-logs": cloudflare_logs_file,
    "csv": csv_file,
    "otlp": otlp_file,
}


def everything():
    """Return every row of every table as text, and every binary value besides: as it is, and unpacked."""
    parts = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.oid::regclass::text, array_remove(array_agg(a.attname::text) FILTER (WHERE a.atttypid = "
            "'bytea'::regtype), NULL) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1"
        )
        for table, binary in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            parts += [row for (row,) in cursor.fetchall()]
            for column in binary or ():
                cursor.execute(f'SELECT "{column}" FROM {table} WHERE "{column}" IS NOT NULL')
                parts += [unpacked(bytes(value)) for (value,) in cursor.fetchall()]
    return "\n".join(parts)


def unpacked(value):
    """Return bytes as text. What is compressed is msgpack inside, which holds text as it is."""
    if value.startswith(zstandard.FRAME_HEADER):
        value += zstandard.ZstdDecompressor().decompress(value)
    return value.decode("latin-1")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_private_of_a_body_is_kept_anywhere(client, capfd, name):
    assert name in SENT, "a new format has no body with secrets in it here"
    plant = Secrets()
    secret = make_key("usage:write", gateway="edge")

    for path, body, headers in SENT[name](plant):
        content_type = headers.pop("content-type", "application/json")
        sent = {"X-API-KEY": secret, "user-agent": plant.text("user agent"), **headers}
        answer = client.post(path, json.dumps(body), content_type=content_type, headers=sent)
        assert answer.status_code in (200, 201, 202, 422), (answer.status_code, answer.content)
        assert plant.found_in(answer.content.decode()) == []
    waiting = everything()
    booking.book_pending(at=timezone.now())
    booked = everything()

    assert set(Receipt.objects.values_list("state", flat=True)) == {"done"}
    assert LedgerEntry.objects.filter(use_case__name=KEPT).exists()
    assert name != "native" or set(HeldEvent.objects.values_list("reason", flat=True)) == {"conflict", "too_old"}
    assert KEPT in waiting, "what is kept is found in what is packed, or nothing ever would be"
    logged = "".join(capfd.readouterr())
    for text in (waiting, booked, logged):
        assert plant.found_in(text) == []
        assert secret not in text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", FILE_FORMATS)
def test_nothing_private_of_a_file_is_kept_anywhere(name):
    assert name in FILES, "a new format of files has no content with secrets in it here"
    plant = Secrets()
    now = timezone.now()
    content, options = FILES[name](plant)

    import_id = imports.take_file(
        file=io.BytesIO(content.encode()), file_name="calls", format=name, gateway_id=make_gateway().pk,
        environment="production", options=options, settings=format_settings({}), by="platform@example.com",
        clock=timezone.now,
    )  # fmt: skip
    read = everything()
    imports.confirm(import_id=import_id, by="platform@example.com", at=now)
    for step in range(9):  # the job looks again a second after it put its parts in line
        later = now + timedelta(seconds=step)
        jobs.run_next(clock=lambda later=later: later)
        booking.book_pending(at=later)

    assert UsageImport.objects.get().state == "done"
    assert LedgerEntry.objects.filter(use_case__name=KEPT).exists()
    assert KEPT in read
    for text in (read, everything()):
        assert plant.found_in(text) == []
