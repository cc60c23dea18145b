"""Files of past events in the console: uploaded, looked at, confirmed or dropped, and how far they are."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from core.models import Organisation
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.usage import making
from tests.usage.importing import NOON, lines, row, work
from usage.models import LedgerEntry, Receipt, Source, UsageImport
from usage.services import jobs

pytestmark = pytest.mark.django_db

URL = "/gateways/imports/"
CSV = b"Created;Model;prompt_tokens;completion_tokens;What for\r\n2026-06-15 14:00:00;gpt-5.5;1000;100;support\r\n"


@pytest.fixture(autouse=True)
def _gateway():
    making.make_gateway()


def upload(client, content=None, *, name="calls.jsonl", **more):
    file = SimpleUploadedFile(name, lines(row(0), row(1)) if content is None else content)
    return client.post(f"{URL}upload/", {"file": file, "format": "native", "gateway": "edge", **more})


def read(client, content=None, **more):
    """Upload a file and return the address of its import."""
    answer = upload(client, content, **more)
    assert answer.status_code == 302, re.findall(r"field__errors.*?</ul>", answer.content.decode(), re.DOTALL)
    return answer["Location"]


def text(answer) -> str:
    """Return what a page says, without its tags."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split()))


def confirm(client, url, **more):
    return client.post(f"{url}confirm/", {"since": "", "until": "", "audit": "", "note": "", **more})


def test_a_file_is_uploaded_shown_confirmed_and_booked(client):
    making.make_priced_offering()
    person = signed_in(client, "platform")

    url = read(client, lines(row(0), row(1), row(2, input_tokens=-1), row(3, use_case="brand new", model="gpt-9")))
    page = client.get(url)

    said = text(page)
    assert "calls.jsonl" in said
    assert "support-routing gpt-5.5@openai 2" in said
    assert "input_tokens: expected a whole number >= 0" in said
    assert "brand new (1)" in said
    assert "gpt-9@openai (1)" in said
    assert 'value="2026-06-15 12:00"' in page.content.decode()
    assert 'value="2026-06-15 13:00"' in page.content.decode()
    assert "Book 3 events" in said
    assert not Source.objects.exists()

    confirmed = confirm(client, url, note="June")

    assert confirmed["Location"] == url
    assert "0 of 3 events booked" in text(client.get(url))
    work()
    done = text(client.get(url))
    assert "Booked" in done
    assert "Counted 3 events" in done
    assert f"by {person.email}" in done
    assert LedgerEntry.objects.count() == 3
    made = UsageImport.objects.get()
    assert (made.started_by, made.confirmed_by, made.note) == (person.email, person.email, "June")
    assert "/spend/?from=2026-06-15&amp;to=2026-06-15&amp;gateway=edge" in client.get(url).content.decode()
    assert "calls.jsonl" in text(client.get(URL))


def test_how_far_it_is_comes_alone_and_renews_itself_until_it_has_ended(client):
    signed_in(client, "platform")
    url = read(client)
    confirm(client, url)
    jobs.run_next(clock=timezone.now)

    running = client.get(url, headers={"HX-Request": "true"})

    assert 'id="run"' in running.content.decode()
    assert "<html" not in running.content.decode()
    assert 'hx-trigger="every 2s"' in running.content.decode()
    assert "HX-Request" in running["Vary"]
    work()
    ended = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" not in ended
    assert "It has ended." in ended


def test_a_range_is_on_the_clock_of_the_organisation(client):
    Organisation.objects.update(zone="Europe/Berlin")
    signed_in(client, "platform")
    url = read(client)
    assert 'value="2026-06-15 14:00"' in client.get(url).content.decode()

    confirm(client, url, since="2026-06-15", until="2026-06-15 14:01")

    covers = UsageImport.objects.get().covers
    assert (covers.lower, covers.upper) == (
        datetime(2026, 6, 14, 22, tzinfo=UTC),
        datetime(2026, 6, 15, 12, 1, tzinfo=UTC),
    )


def test_a_counted_range_is_refused_on_the_page_and_audit_offered(client):
    making.send(making.make_event(occurred_at=NOON))
    signed_in(client, "platform")
    url = read(client)

    refused = confirm(client, url)

    assert refused.status_code == 422
    assert "or import for audit only" in text(refused)
    assert confirm(client, url, audit="audit").status_code == 302
    work()
    assert "audit: kept, and in no sum" in text(client.get(url))
    assert "Kept aside 2, for audit" in text(client.get(url))
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"since": "tomorrow"}, "Write a day as 2026-11-01"),
        ({"since": "2026-06-15 13:00", "until": "2026-06-15 12:00"}, "Give an end after the start."),
        ({"since": "2020-01-01"}, "more than a month beyond"),
        ({"audit": "perhaps"}, "Select a valid choice"),
        ({"note": "x" * 201}, "at most 200 characters"),
    ],
)
def test_a_confirmation_that_cannot_be_says_why_at_its_field(client, given, sentence):
    signed_in(client, "platform")
    url = read(client)

    answer = confirm(client, url, **given)

    assert answer.status_code == 422
    assert sentence in text(answer)
    assert not Source.objects.exists()


def test_the_second_of_two_who_confirm_is_told_who_was_first(client):
    first = signed_in(client, "platform")
    url = read(client)
    confirm(client, url)
    signed_in(client, "admin")

    answer = confirm(client, url)

    assert answer["Location"] == url
    assert f"{first.email} confirmed this import already." in text(client.get(url))
    assert Source.objects.count() == 1


def test_an_import_is_dropped(client):
    signed_in(client, "platform")
    url = read(client)

    assert client.post(f"{url}drop/")["Location"] == URL

    assert "calls.jsonl is dropped" in text(client.get(URL))
    page = text(client.get(url))
    assert "Dropped" in page
    assert "Book it" not in page
    assert "Drop this import" not in page
    confirm(client, read(client))
    second = UsageImport.objects.latest("pk")
    client.post(f"{URL}{second.pk}/drop/")
    assert "confirmed this import already" in text(client.get(f"{URL}{second.pk}/"))


def test_a_body_that_failed_is_shown_and_tried_again(client):
    signed_in(client, "platform")
    url = read(client)
    confirm(client, url)
    jobs.run_next(clock=timezone.now)
    Receipt.objects.update(state="failed", error="ValueError: broken")
    work(timezone.now() + jobs.LEASE)
    page = text(client.get(url))
    assert "Stopped" in page
    assert "ValueError: broken" in page

    client.post(f"{url}again/")
    work(timezone.now() + 2 * jobs.LEASE)

    assert "Counted 2 events" in text(client.get(url))
    client.post(f"{url}again/")
    assert "Nothing of this import was set aside" in text(client.get(url))


# --- tables ---


def test_a_tables_columns_are_guessed_and_shown_for_correction(client):
    signed_in(client, "platform")
    file = SimpleUploadedFile("t.csv", CSV)

    answer = client.post(f"{URL}columns/", {"file": file, "format": "csv", "gateway": "edge"})

    page = answer.content.decode()
    assert "<html" not in page
    assert "The file has 5 columns" in page
    for field, column in (("time", "Created"), ("model", "Model"), ("input_tokens", "prompt_tokens")):
        select = re.search(rf'<select name="column_{field}".*?</select>', page, re.DOTALL)[0]
        assert f'<option value="{column}" selected>' in select
    assert client.post(f"{URL}columns/", {"format": "native"}).content.decode().count("<select") == 0
    assert "Show its columns" in client.post(f"{URL}columns/", {"format": "csv"}).content.decode()
    json_file = SimpleUploadedFile("t.csv", lines(row(0)))
    assert "is no table" in client.post(f"{URL}columns/", {"format": "csv", "file": json_file}).content.decode()


def test_a_table_is_read_by_the_columns_that_were_chosen(client):
    signed_in(client, "platform")
    chosen = {
        "column_time": "Created", "column_model": "Model", "column_input_tokens": "prompt_tokens",
        "column_output_tokens": "completion_tokens", "column_use_case": "What for", "zone": "Europe/Berlin",
    }  # fmt: skip

    url = read(client, CSV, name="t.csv", format="csv", **chosen)

    made = UsageImport.objects.get()
    assert made.first_at == NOON
    assert made.options["columns"]["use_case"] == "What for"
    page = text(client.get(url))
    assert "Time Created" in page
    assert "on the clock of Europe/Berlin" in page
    assert "support" in page


def test_without_scripts_the_columns_are_a_page_and_a_guess_is_enough(client):
    signed_in(client, "platform")

    shown = upload(client, CSV, name="t.csv", format="csv", do="columns")

    assert shown.status_code == 200
    assert '<select name="column_time"' in shown.content.decode()
    assert not UsageImport.objects.exists()
    assert read(client, CSV, name="t.csv", format="csv")


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        (b"When,What\n1,2\n", {}, "Say which column holds it."),
        (CSV, {"zone": "Europe/Berlinn"}, "This is no zone"),
        (CSV, {"column_time": "Nothing"}, "Select a valid choice"),
        (b'{"a": 1}', {}, "begins like JSON"),
        ("a,b\n".encode("utf-16"), {}, "UTF-16"),
        (b"", {}, "the file is empty"),
    ],
)
def test_a_table_that_cannot_be_read_says_why_at_its_field(client, content, more, sentence):
    signed_in(client, "platform")

    answer = upload(client, content, name="t.csv", format="csv", **more)

    assert answer.status_code == 422
    assert sentence in text(answer)
    assert not UsageImport.objects.exists()


# --- what cannot be ---


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        (b"hello", {}, "neither a JSON object"),
        (None, {"format": "tarot"}, "Select a valid choice"),
        (None, {"gateway": "another"}, "Select a valid choice"),
        (None, {"environment": "no name"}, "letters, digits"),
        (None, {"file": ""}, "Choose a file."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(client, content, more, sentence):
    signed_in(client, "platform")

    answer = upload(client, content, **more)

    assert answer.status_code == 422
    assert sentence in text(answer)
    assert not UsageImport.objects.exists()


def test_a_file_over_the_limit_is_sent_to_the_command(client, settings):
    settings.MAX_BODY_BYTES = 100
    signed_in(client, "platform")

    answer = upload(client)

    assert answer.status_code == 422
    assert "manage.py import_usage" in text(answer)
    assert not UsageImport.objects.exists()


def test_strangers_see_no_import_and_viewers_change_none(client):
    signed_in(client, "platform")
    url = read(client)
    client.logout()
    for address in (URL, url):
        assert "/account/" in client.get(address)["Location"] or "login" in client.get(address)["Location"]
    signed_in(client)
    assert client.get(URL).status_code == client.get(url).status_code == 403

    signed_in(client, "viewer")
    assert client.get(url).status_code == 200
    assert "Book it" not in text(client.get(url))
    assert "Read a file" not in text(client.get(URL))
    for address in (f"{URL}upload/", f"{URL}columns/", f"{url}confirm/", f"{url}drop/", f"{url}again/"):
        assert client.post(address).status_code == 403
    assert not Source.objects.exists()
    assert UsageImport.objects.get().state == "ready"


@pytest.mark.parametrize("address", ["?before=x", "?before=-1", "?before=0", "999999/", "999999/confirm/"])
def test_an_address_that_means_nothing_is_not_found(client, address):
    signed_in(client, "platform")
    send = client.post if address.endswith("confirm/") else client.get

    assert send(f"{URL}{address}").status_code == 404


def test_what_files_say_is_text_and_no_markup(client):
    signed_in(client, "platform")

    url = read(client, lines(row(0, use_case=HOSTILE, team=HOSTILE)), name=f"{HOSTILE}.jsonl")

    for address in (url, URL):
        assert HOSTILE not in client.get(address).content.decode()
    table = f"time,model,{HOSTILE}\n".encode()
    shown = client.post(f"{URL}columns/", {"file": SimpleUploadedFile("t.csv", table), "format": "csv"})
    assert "&lt;script&gt;" in shown.content.decode()
    assert HOSTILE not in shown.content.decode()


def test_pages_say_what_to_do_where_there_is_nothing_yet(client):
    signed_in(client, "platform")
    assert "Choose a file above" in text(client.get(URL))
    signed_in(client, "viewer")
    assert "Somebody with the role platform" in text(client.get(URL))
    making.make_gateway().__class__.objects.all().delete()
    client.logout()
    signed_in(client, "admin")
    assert "No gateway to import into" in text(client.get(URL))


def test_the_gateways_pages_lead_to_imports(client):
    signed_in(client, "viewer")

    assert f'href="{URL}"' in client.get("/gateways/").content.decode()
    assert f'href="{URL}?gateway=edge"' in client.get(f"/gateways/{making.make_gateway().pk}/").content.decode()


def test_queries_do_not_grow_with_what_there_is(client, django_assert_num_queries):
    signed_in(client, "platform")
    url = read(client, lines(*(row(number, use_case=f"u{number}") for number in range(40))))
    for number in range(5):
        read(client, lines(row(number)))
    client.get(URL)

    with django_assert_num_queries(5):
        client.get(URL)
    with django_assert_num_queries(4):
        client.get(url)
    with django_assert_num_queries(4):
        client.get(url, headers={"HX-Request": "true"})


def test_older_imports_are_a_page_further(client, monkeypatch):
    signed_in(client, "platform")
    for number in range(3):
        read(client, lines(row(number)), name=f"file-{number}.jsonl")
    monkeypatch.setattr("dashboards.views.usage_imports.PER_PAGE", 2)

    first = client.get(URL).content.decode()
    (older,) = re.findall(r'href="(/gateways/imports/\?before=\d+)"', first)

    assert "file-2" in first
    assert "file-0" not in first
    assert "file-0" in client.get(older).content.decode()


def test_reading_that_broke_off_says_how_it_goes_on(client):
    signed_in(client, "platform")
    url = read(client)
    UsageImport.objects.update(state="reading")

    assert "give the same file again" in text(client.get(url))
    assert read(client) == url
    assert "Book 2 events" in text(client.get(url))
