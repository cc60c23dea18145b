"""Files of events over the API: read, looked at, confirmed, dropped, and never another gateway's."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.factories import make_key
from tests.usage import making
from tests.usage.importing import NOON, work
from usage.models import LedgerEntry, UsageImport

pytestmark = pytest.mark.django_db

URL = "/api/v1/usage/imports"
ROW = {
    "id": "call-1",
    "time": NOON.isoformat(),
    "model": "gpt-5.5",
    "provider": "openai",
    "input_tokens": 10,
    "output_tokens": 1,
}
CSV = b"when,model,prompt_tokens,completion_tokens\n2026-06-15 14:00:00,gpt-5.5,10,1\n"


@pytest.fixture
def post(client):
    """Send a file as a gateway's key does."""
    making.make_gateway()
    making.make_gateway("other")
    secret = make_key("usage:write")

    def send(content=None, key=secret, **more):
        content = json.dumps(ROW).encode() if content is None else content
        data = {"file": SimpleUploadedFile("calls.jsonl", content), "format": "native", **more}
        return client.post(URL, data, headers={"Authorization": f"Bearer {key}"})

    send.headers = {"Authorization": f"Bearer {secret}"}
    return send


def test_a_file_is_read_confirmed_and_booked(client, post):
    read = post()

    assert read.status_code == 201, read.json()
    made = read.json()
    assert (made["state"], made["events"], made["gateway"]) == ("ready", 1, "edge")
    assert made["groups"][0]["model"] == "gpt-5.5@openai"
    confirmed = client.post(
        f"{URL}/{made['id']}/confirm", {"note": "June"}, content_type="application/json", headers=post.headers
    )
    assert confirmed.status_code == 202, confirmed.json()
    assert confirmed.json()["covers"] == ["2026-06-15T12:00:00Z", "2026-06-15T13:00:00Z"]
    work()

    done = client.get(f"{URL}/{made['id']}", headers=post.headers).json()
    assert (done["state"], done["booked"], done["confirmed_by"]) == ("done", 1, "key:key for usage:write")
    assert LedgerEntry.objects.get().gateway_id == making.make_gateway().pk
    assert [one["id"] for one in client.get(URL, headers=post.headers).json()["results"]] == [made["id"]]


def test_a_table_takes_its_columns_as_json(post):
    refused = post(CSV, format="csv")
    assert refused.status_code == 422
    assert "time: Say which column holds it." in refused.json()["detail"]

    columns = {"time": "when", "model": "model", "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    read = post(CSV, format="csv", options=json.dumps({"columns": columns, "zone": "Europe/Berlin"}))

    assert read.status_code == 201, read.json()
    assert read.json()["first_at"] == "2026-06-15T12:00:00Z"
    assert read.json()["options"]["columns"] == columns


@pytest.mark.parametrize(
    "options", ["[1]", '{"columns": [1]}', '{"columns": {"time": 1}}', "not json", '{"columns": {"time": {}}}', "7"]
)
def test_options_that_are_none_are_refused(post, options):
    assert post(CSV, format="csv", options=options).status_code == 422
    assert not UsageImport.objects.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"[", b"\x1f\x8bnothing"])
def test_a_file_that_cannot_be_read_is_malformed_and_leaves_nothing(post, content):
    answer = post(content)

    assert answer.status_code == 400
    assert not UsageImport.objects.exists()


def test_a_confirmation_that_cannot_be_is_answered_with_its_reason(client, post):
    pk = post().json()["id"]

    def confirm(**data):
        return client.post(f"{URL}/{pk}/confirm", data, content_type="application/json", headers=post.headers)

    assert confirm(**{"from": "2026-06-16T00:00:00Z", "to": "2026-06-15T00:00:00Z"}).status_code == 422
    assert confirm(until="2026-06-16T00:00:00Z").status_code == 422
    making.send(making.make_event(occurred_at=NOON))
    assert confirm().status_code == 409
    assert confirm(audit=True).status_code == 202
    assert confirm(audit=True).status_code == 409
    assert client.post(f"{URL}/{pk}/drop", headers=post.headers).status_code == 409
    assert client.post(f"{URL}/{pk}/again", headers=post.headers).status_code == 409


def test_an_import_is_dropped_and_its_file_may_come_again(client, post):
    pk = post().json()["id"]

    dropped = client.post(f"{URL}/{pk}/drop", headers=post.headers)

    assert dropped.json()["state"] == "dropped"
    assert post().json()["id"] != pk


def test_a_gateways_key_reaches_its_own_gateway_and_no_other(client, post):
    stranger = {"Authorization": f"Bearer {make_key('usage:write', gateway='other')}"}
    reader = {"Authorization": f"Bearer {make_key('read', gateway='other')}"}
    pk = post().json()["id"]

    assert post(gateway="other").status_code == 422
    for path in ("", "/confirm", "/drop", "/again"):
        send = client.post if path else client.get
        assert send(f"{URL}/{pk}{path}", headers=stranger).status_code == 404
    assert client.get(URL, headers=stranger).json()["results"] == []
    assert client.get(f"{URL}/{pk}", headers=reader).status_code == 200
    assert client.post(f"{URL}/{pk}/drop", headers=reader).status_code == 403
    admin = make_key("admin", gateway="edge", name="admin's")
    assert post(b'{"id": "2", "time": "2026-06-15T12:00:00Z", "model": "m"}', admin, gateway="OTHER").status_code == 201


def test_a_body_over_the_limit_is_refused(post, settings):
    settings.MAX_BODY_BYTES = 2048

    answer = post(b"\n".join(json.dumps({**ROW, "id": str(number)}).encode() for number in range(50)))

    assert answer.status_code == 413


def test_an_answer_takes_as_many_queries_however_much_the_file_held(client, post, django_assert_num_queries):
    many = b"\n".join(json.dumps({**ROW, "id": str(n), "use_case": f"u{n}"}).encode() for n in range(50))
    pk = post(many).json()["id"]
    client.get(f"{URL}/{pk}", headers=post.headers)

    with django_assert_num_queries(2):
        client.get(f"{URL}/{pk}", headers=post.headers)
