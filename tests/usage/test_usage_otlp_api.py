"""The OTLP/HTTP edge: what is answered in which type, what is kept, and what is dropped."""

import gzip
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace import Status as SpanStatus

from catalog.services import gateways
from tests.factories import make_user
from tests.usage.checks import assert_rollups_equal_ledger, everything_in_the_database
from tests.usage.making import make_event, take
from usage.models import EntryKind, LedgerEntry, Receipt
from usage.models import Status as CallStatus
from usage.services import booking, intake

pytestmark = pytest.mark.django_db
PAYLOADS = Path(__file__).parents[1] / "payloads"
ROOT, BELOW_API = "/v1/traces", "/api/v1/usage/otlp/v1/traces"
JSON, PROTOBUF = "application/json", "application/x-protobuf"
ADDRESSES = ["/v1/{}", "/api/v1/usage/otlp/v1/{}"]


def make_key(name="edge", *scopes, **given):
    return gateways.create_key(
        name=name, gateway=given.pop("gateway", name), scopes=scopes or ["usage:write"], by="tests", at=timezone.now(),
        **given,
    )  # fmt: skip


@pytest.fixture
def secret():
    return make_key()


def post(client, body, secret=None, *, path=ROOT, content_type=JSON, **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {secret}"} if secret else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, body, content_type=content_type, headers=sent)


def span(number=1, *, trace="a" * 32, parent="", ended_at=None, **attributes):
    ended = int((ended_at or timezone.now()).timestamp() * 1e9)
    attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 85,
    } | attributes  # fmt: skip
    return {
        "traceId": trace, "spanId": f"{number:016x}", "parentSpanId": parent, "name": "chat gpt-5-mini", "kind": 3,
        "startTimeUnixNano": str(ended - 10**9), "endTimeUnixNano": str(ended),
        "attributes": [
            {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
            for key, value in attributes.items()
        ],
    }  # fmt: skip


def request(*spans, **resource):
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]}


def as_protobuf(body):
    """Return a request as protobuf, its ids as bytes."""
    message = ExportTraceServiceRequest()
    for group in body["resourceSpans"]:
        made = message.resource_spans.add().scope_spans.add()
        for one in group["scopeSpans"][0]["spans"]:
            kept = made.spans.add(
                trace_id=bytes.fromhex(one["traceId"]), span_id=bytes.fromhex(one["spanId"]), kind=one["kind"],
                start_time_unix_nano=int(one["startTimeUnixNano"]), end_time_unix_nano=int(one["endTimeUnixNano"]),
            )  # fmt: skip
            for attribute in one["attributes"]:
                value = kept.attributes.add(key=attribute["key"]).value
                if "intValue" in attribute["value"]:
                    value.int_value = int(attribute["value"]["intValue"])
                else:
                    value.string_value = attribute["value"]["stringValue"]
    return message.SerializeToString()


# --- what is answered ---


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_got_a_200_is_kept_and_counts(client, secret, address):
    body = request(span(1, use_case="support"), span(2, trace="b" * 32))

    answer = post(client, body, secret, path=address.format("traces"))
    booking.book_pending(at=timezone.now())

    assert (answer.status_code, answer.headers["Content-Type"], answer.json()) == (200, JSON, {})
    receipt = Receipt.objects.get()
    assert (receipt.format, receipt.state, receipt.booked) == ("otlp", "done", 2)
    entry = LedgerEntry.objects.get(use_case__name="support")
    assert (entry.uncached_input_tokens, entry.output_tokens, entry.gateway.name) == (1200, 85, "edge")
    assert_rollups_equal_ledger()


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_protobuf_is_answered_with_protobuf(client, secret, packed):
    answer = post(client, packed(as_protobuf(request(span()))), secret, content_type=PROTOBUF)

    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, PROTOBUF, b"")
    assert Receipt.objects.get().event_count == 1


def test_protobuf_that_is_labelled_as_json_is_read_and_answered_as_labelled(client, secret):
    answer = post(client, as_protobuf(request(span())), secret, content_type=JSON)

    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, JSON, b"{}")
    assert Receipt.objects.get().event_count == 1


def test_whatever_a_sender_says_that_it_accepts_the_answer_has_the_type_of_the_request(client, secret):
    for accepted in ("text/html", PROTOBUF, "*/*", "nonsense"):
        answer = post(client, request(span()), secret, Accept=accepted)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON), accepted


def test_spans_that_cannot_be_kept_are_told_of_and_hold_up_no_others(client, secret):
    body = request(span(1), span(2, trace=""), span(3, **{"gen_ai.usage.input_tokens": "many"}))

    in_json = post(client, body, secret)
    in_protobuf = ExportTraceServiceResponse.FromString(
        post(client, as_protobuf(body), secret, content_type=PROTOBUF).content
    )

    message = "span 1: traceId, spanId: not 16 and 8 bytes in hexadecimal (and 1 more)"
    assert (in_json.status_code, in_json.json()) == (
        200, {"partialSuccess": {"rejectedSpans": "2", "errorMessage": message}},
    )  # fmt: skip
    assert (in_protobuf.partial_success.rejected_spans, in_protobuf.partial_success.error_message) == (2, message)
    receipt = Receipt.objects.first()
    assert (receipt.event_count, [one["index"] for one in receipt.rejected]) == (1, [1, 2])


def told(answer):
    """Return a Status of either type as its code and message, once it is shown that it is nothing else."""
    if answer.headers["Content-Type"] == JSON:
        assert set(answer.json()) == {"code", "message"}
        return answer.json()["code"], answer.json()["message"]
    assert answer.headers["Content-Type"] == PROTOBUF
    status = Status.FromString(answer.content)
    assert not status.details
    return status.code, status.message


@pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
def test_errors_are_a_status_in_the_type_of_the_request(client, secret, settings, content_type):
    body = json.dumps(request(span())).encode()

    def answered(*arguments, **given):
        answer = post(client, *arguments, content_type=content_type, **given)
        return answer.status_code, *told(answer)

    assert answered(b"\xff\xff", secret)[:2] == (400, 3)
    assert answered(b'{"resourceSpans": 1}', secret)[:2] == (400, 3)
    assert answered(b"\x1f\x8bbroken", secret)[:2] == (400, 3)
    assert answered(body)[:2] == (401, 16)
    assert answered(body, "tk_wrong") == (401, 16, "This key is unknown, expired or revoked.")
    assert answered(body, make_key("reader", "read"))[:2] == (403, 7)
    settings.MAX_BODY_BYTES = 100
    assert answered(gzip.compress(body), secret)[:2] == (413, 8)
    assert not Receipt.objects.exists()


def test_whoever_stands_for_no_gateway_is_told_so(client):
    client.force_login(make_user("platform"))

    answer = post(client, request(span()))

    assert (answer.status_code, told(answer)[0]) == (400, 3)
    assert "stands for no gateway" in told(answer)[1]


def test_other_methods_are_refused_as_a_status(client, secret):
    answer = client.get(ROOT, headers={"Authorization": f"Bearer {secret}"})

    assert answer.status_code == 405
    assert told(answer)[0] == 12


@pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
def test_when_too_much_waits_senders_are_told_to_come_again_later(client, secret, settings, content_type):
    settings.BACKLOG_EVENTS = 2
    take(make_event(), make_event(), make_event())
    intake._backlog = (0.0, 0)

    answer = post(client, request(span()), secret, content_type=content_type)

    assert (answer.status_code, told(answer)[0]) == (429, 8)
    assert int(answer.headers["Retry-After"]) > 0
    assert not Receipt.objects.filter(format="otlp").exists()


# --- who may send ---


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_a_key_may_come_as_x_api_key_and_without_one_nothing_is_taken(client, secret, address, signal):
    path = address.format(signal)
    body = json.dumps(request(span())).encode()

    assert client.post(path, body, content_type=JSON).status_code == 401
    assert client.post(path, body, content_type=JSON, headers={"X-Api-Key": "wrong"}).status_code == 401
    assert client.post(path, body, content_type=JSON, headers={"X-Api-Key": secret}).status_code == 200


# --- what leaves no trace here ---


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_metrics_and_logs_are_acknowledged_and_dropped(client, secret, address, signal):
    metrics = (PAYLOADS / "otel" / "openllmetry_metrics.pb.bin").read_bytes()

    in_protobuf = post(client, metrics, secret, path=address.format(signal), content_type=PROTOBUF)
    in_json = post(client, request(span()), secret, path=address.format(signal))

    assert (in_protobuf.status_code, in_protobuf.headers["Content-Type"], in_protobuf.content) == (200, PROTOBUF, b"")
    assert (in_json.status_code, in_json.headers["Content-Type"], in_json.content) == (200, JSON, b"{}")
    assert not Receipt.objects.exists()


def test_metrics_without_end_are_not_read_to_it(client, secret, settings):
    settings.MAX_BODY_BYTES = 100_000

    answer = post(client, b"x" * 200_000, secret, path="/v1/metrics", content_type=PROTOBUF)

    assert (answer.status_code, told(answer)[0]) == (413, 8)


def test_openrouters_test_of_a_connection_and_traces_without_calls_leave_nothing(client, secret):
    test = (PAYLOADS / "otel_written" / "openrouter_connection_test.json").read_bytes()
    promptlayer = (PAYLOADS / "otel" / "promptlayer_traces.pb.bin").read_bytes()

    answers = [
        post(client, test, secret, X_Test_Connection="true"),
        post(client, request(span()), secret, X_Test_Connection="true"),
        post(client, promptlayer, content_type=PROTOBUF, X_Api_Key=secret),
        post(client, b"", secret, content_type=PROTOBUF),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert not Receipt.objects.exists()


PROMPT = "the merger with Initech stays between us"
EMAIL = "jane.doe@customer-mail.example"
API_KEY = "sk-proj-4f9ab8c7d6e5f4a3b2c1d0"
CONTENT = (
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt_json",
    "gen_ai.system_instructions", "gen_ai.completion_json", "gen_ai.tool.definitions", "ai.prompt", "ai.response.text",
    "llm.input_messages.0.message.content", "input.value", "output.value", "trace.input", "span.output",
    "error.message", "error.stack_trace", "http.request.header.authorization", "ai.request.headers.authorization",
    "exception.message", "metadata.user_api_key_user_email", "bifrost.raw_request", "openclaw.content.input_messages",
    "prompt", "messages", "trace.metadata.system_prompt", "ai.telemetry.metadata.api_key",
    "trace.metadata.openrouter.creator_user_id",
)  # fmt: skip


def test_nothing_of_a_conversation_reaches_any_table(client, secret):
    planted = dict.fromkeys(CONTENT, f"{PROMPT} {EMAIL} {API_KEY}")
    requester = {"tags": [f"owner:{EMAIL}"], "headers": {"authorization": API_KEY}, "note": PROMPT, "use_case": EMAIL}
    attributes = planted | {
        "gen_ai.model.provider": "openai", "user.id": EMAIL, "team": EMAIL, "trace.metadata.owner": EMAIL,
        "ai.telemetry.metadata.note": PROMPT * 20, "metadata.requester_metadata": repr(requester),
        "hidden_params": json.dumps({"api_base": API_KEY, "additional_headers": {"authorization": API_KEY}}),
    }  # fmt: skip
    one = span(1, **attributes)
    one["name"] = PROMPT
    one["status"] = {"code": 2, "message": f"{PROMPT} {API_KEY}"}
    one["events"] = [
        {"name": "exception", "attributes": [{"key": "exception.message", "value": {"stringValue": PROMPT}}]}
    ]
    bad = span(2, **(attributes | {"gen_ai.usage.input_tokens": PROMPT}))

    answer = post(client, request(one, bad, **planted), secret)
    kept_before_booking = everything_in_the_database()
    booking.book_pending(at=timezone.now())

    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert LedgerEntry.objects.get().user_key.startswith("h:")
    for kept in (kept_before_booking, everything_in_the_database(), answer.content.decode()):
        for text in (PROMPT, "Initech", EMAIL, "jane.doe", API_KEY, "4f9ab8c7d6e5", secret):
            assert text not in kept, text


# --- captured bodies, and one trace in several ---


@pytest.mark.parametrize("path", sorted((PAYLOADS / "otel").glob("*traces*")), ids=lambda path: path.name)
def test_a_captured_body_is_taken_booked_and_counts_once(client, secret, path):
    for _ in range(2):
        assert post(client, path.read_bytes(), secret).status_code == 200
    booking.book_pending(at=timezone.now() + timedelta(seconds=5))

    if "promptlayer" in path.name:
        assert not Receipt.objects.exists()
        return
    first, second = Receipt.objects.order_by("pk")
    assert (first.state, first.booked) == ("done", first.event_count)
    assert (second.booked, second.duplicates) == (0, first.booked)
    assert LedgerEntry.objects.count() == first.booked
    assert_rollups_equal_ledger()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the wrapper first", "the call first"])
def test_a_wrapper_and_its_call_in_two_bodies_count_once(client, secret, order):
    wrapper = span(1, **{"gen_ai.usage.input_tokens": 2400})
    call = span(2, parent=f"{1:016x}")

    for number in order:
        post(client, request((wrapper, call)[number]), secret)
        booking.book_pending(at=timezone.now())

    entries = LedgerEntry.objects.order_by("pk").values_list("kind", "uncached_input_tokens")
    usage, taken_back = EntryKind.USAGE, EntryKind.REVERSAL
    assert sorted(entries) == (
        [(usage, 1200)] if order == (1, 0) else [(usage, 1200), (usage, 2400), (taken_back, -2400)]
    )
    assert_rollups_equal_ledger()


# --- a real exporter ---


@pytest.mark.django_db(transaction=True)
def test_a_real_exporter_sends_to_a_real_server_and_its_calls_count(live_server):
    secret = make_key()
    exporter = OTLPSpanExporter(
        endpoint=f"{live_server.url}/v1/traces",
        headers={"authorization": f"Bearer {secret}"},
        compression=Compression.Gzip,
        timeout=30,
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "support-bot", "team": "team-support"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("app")

    with tracer.start_as_current_span("handle_ticket", attributes={"use_case": "support_triage", "user.id": "u-42"}):
        with tracer.start_as_current_span("chat gpt-5-mini", kind=SpanKind.CLIENT) as call:
            call.set_attributes({
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini",
                "gen_ai.response.id": "chatcmpl-1", "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 85,
                "gen_ai.usage.cache_read.input_tokens": 1024, "gen_ai.response.finish_reasons": ["stop"],
            })  # fmt: skip
        with tracer.start_as_current_span("chat gpt-5-mini", kind=SpanKind.CLIENT) as call:
            call.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini"})
            call.set_status(SpanStatus(StatusCode.ERROR, "Rate limit reached"))
    provider.shutdown()
    booking.book_pending(at=timezone.now())

    receipt = Receipt.objects.get()
    assert (receipt.format, receipt.state, receipt.booked) == ("otlp", "done", 2)
    served = LedgerEntry.objects.get(status=CallStatus.OK)
    assert (served.use_case.name, served.team.name, served.cache_read_tokens) == (
        "support_triage",
        "team-support",
        1024,
    )
    assert LedgerEntry.objects.filter(status=CallStatus.ERROR).count() == 1
