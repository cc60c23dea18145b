"""Contracts and hours from the console: entered, changed and ended after their effect was shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from django.utils import timezone

from catalog.models import Contract, HourWindow, Price
from catalog.services import contracts
from dashboards.selectors import prices as page_of
from dashboards.views.prices_hours import days_words
from tests.catalog.making import JANUARY, JULY, MARCH, make_offering, set_price
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage import making

pytestmark = pytest.mark.django_db
URL = "/prices/contracts/"
NEW = "/prices/contracts/new/"
TYPED = {
    "name": "OpenAI 2026", "provider": "openai", "discount_percent": "12.5", "valid_from": "2026-01-01",
    "note": "signed in December", "source": "contract",
}  # fmt: skip


def confirmed(client, url, data):
    """Send a form, look at its effect, and confirm it."""
    shown = client.post(url, data)
    assert shown.status_code == 200, shown.content.decode()
    (digest,) = re.findall(r'name="confirm" value="([0-9a-f]{32})"', shown.content.decode())
    return client.post(url, {**data, "confirm": digest})


def make_contract(name="OpenAI 2026", **overrides):
    offering = make_offering()
    given = {
        "provider": offering.provider, "discount_percent": Decimal(10), "valid_from": JANUARY, "by": "tests",
        "approved_by": "approver@example.com", "at": MARCH, "note": "signed",
    }  # fmt: skip
    return contracts.set_terms(name=name, **{**given, **overrides})


def terms(name="OpenAI 2026"):
    """Return what a contract says as recorded now, as (per cent off, from, until)."""
    rows = Contract.objects.filter(name=name, recorded__upper_inf=True).order_by("valid")
    return [(one.discount_percent, one.valid.lower, one.valid.upper) for one in rows]


def test_a_discount_is_entered_after_its_effect_was_shown(client):
    making.make_priced_offering()
    book(call(usd=10))
    person = signed_in(client, "finance")

    shown = client.post(NEW, TYPED).content.decode()

    assert "1 event with" in shown
    assert "$8.75" in shown
    assert not Contract.objects.exists()

    assert confirmed(client, NEW, TYPED)["Location"] == URL

    made = Contract.objects.get()
    assert (made.discount_percent, str(made.provider), made.valid.lower) == (Decimal("12.5"), "openai", JANUARY)
    assert (made.approved_by, made.note) == (person.email, "signed in December")


def test_own_prices_of_an_offering_are_entered_with_the_contract_beside_what_the_list_says(client):
    making.make_priced_offering()
    signed_in(client, "finance")
    data = {**TYPED, "provider": "", "with_offering": "gpt-5.5@openai", "discount_percent": "", "usd_output": "21"}

    shown = client.post(NEW, data).content.decode()

    assert "500 output" in shown or "1,000 output tokens cost $0.0210" in shown
    assert "$30.00" in shown

    confirmed(client, NEW, data)

    price = Price.objects.get(series__contract__name="OpenAI 2026")
    assert (price.usd_per_1m, price.series.meter, price.source) == (Decimal(21), "output", "contract")
    assert terms() == [(None, JANUARY, None)]


def test_a_contract_with_a_gateway_says_whose_offering_its_prices_are_of(client):
    making.make_priced_offering()
    making.make_gateway("edge")
    signed_in(client, "finance")
    data = {**TYPED, "provider": "", "gateway": "edge", "usd_output": "21"}

    assert "Say which offering these prices are of." in client.post(NEW, data).content.decode()
    confirmed(client, NEW, {**data, "own_offering": "gpt-5.5@openai"})

    assert str(Contract.objects.get().gateway) == "edge"
    assert Price.objects.filter(series__contract__isnull=False).count() == 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": " "}, "Give the contract a name"),
        ({"name": "x" * 129}, "at most 128 characters"),
        ({"provider": ""}, "Choose one: a provider, an offering or a gateway."),
        ({"with_offering": "gpt-5.5@openai"}, "Choose one: a provider, an offering or a gateway."),
        ({"provider": "", "with_offering": "nobody@nowhere"}, "The catalogue has no offering"),
        ({"provider": "nobody"}, "Select a valid choice"),
        ({"gateway": "nobody"}, "Select a valid choice"),
        ({"discount_percent": ""}, "Give a discount, or a price of its own."),
        ({"discount_percent": "101"}, "A discount is 0 to 100 per cent."),
        ({"discount_percent": "a lot"}, "A discount is 0 to 100 per cent."),
        ({"discount_percent": "1.23456"}, "at most 4 decimal places"),
        ({"valid_until": "2025-01-01"}, "hold for no time at all"),
        ({"usd_output": "9000", "own_offering": "gpt-5.5@openai"}, "is the unit right?"),
        ({"usd_output": "1", "own_offering": "claude@anthropic"}, "has no say on claude@anthropic"),
        ({"usd_output": "1", "own_offering": "nobody"}, "The catalogue has no offering"),
        ({"usd_output": "1", "own_offering": "gpt-5.5@openai", "source": ""}, "Say where the price comes from."),
        ({"note": "\0"}, "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(client, changed, sentence):
    making.make_priced_offering()
    make_offering("claude@anthropic")
    signed_in(client, "finance")

    answer = client.post(NEW, {**TYPED, **changed})

    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not Contract.objects.exists()


def test_a_price_that_cannot_be_is_told_at_its_meter(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    page = client.post(NEW, {**TYPED, "usd_output": "9000", "own_offering": "gpt-5.5@openai"}).content.decode()

    assert 'id="id_usd_output_errors"' in page


def test_a_name_that_is_taken_leads_to_the_page_of_that_contract_and_changes_nothing(client):
    make_contract()
    signed_in(client, "finance")

    answer = client.post(NEW, {**TYPED, "name": " OpenAI   2026"})

    assert answer.status_code == 422
    assert "is there already" in answer.content.decode()
    assert terms() == [(Decimal(10), JANUARY, None)]


def test_terms_change_from_a_day_on_and_what_they_were_stays(client):
    contract = make_contract()
    signed_in(client, "finance")
    url = f"{URL}{contract.pk}/change/"

    assert 'value="10"' in client.get(url).content.decode()
    done = confirmed(client, url, {"discount_percent": "15 %", "valid_from": "2026-07-01", "note": "raised"})

    assert done["Location"] == f"{URL}{contract.pk}/"
    assert terms() == [(Decimal(10), JANUARY, JULY), (Decimal(15), JULY, None)]
    page = client.get(f"{URL}{contract.pk}/").content.decode()
    assert "15 % off list" in page
    assert "10 % off list" in page
    assert "Replaced" in page
    assert "approver@example.com" in page


def test_a_contract_ends_and_a_second_end_says_so(client):
    contract = make_contract()
    signed_in(client, "finance")
    url = f"{URL}{contract.pk}/end/"

    confirmed(client, url, {"ends_at": "2026-07-01", "note": "not renewed"})

    assert terms() == [(Decimal(10), JANUARY, JULY)]
    again = client.post(url, {"ends_at": "2026-08-01"})
    assert again.status_code == 422
    assert "says nothing after that already" in again.content.decode()
    assert "ended" in client.get(URL).content.decode()


@pytest.mark.parametrize("verb", ["change", "end"])
def test_a_moment_that_is_none_changes_nothing(client, verb):
    contract = make_contract()
    signed_in(client, "finance")

    answer = client.post(
        f"{URL}{contract.pk}/{verb}/", {"valid_from": "soon", "ends_at": "soon", "discount_percent": "1"}
    )

    assert answer.status_code == 422
    assert "Write a day as 2026-11-01" in answer.content.decode()
    assert terms() == [(Decimal(10), JANUARY, None)]


def test_any_row_of_a_contract_leads_to_it_and_none_to_404(client):
    make_contract()
    later = make_contract(valid_from=JULY, discount_percent=Decimal(20))
    signed_in(client, "viewer")

    assert "20 % off list" in client.get(f"{URL}{later.pk}/").content.decode()
    assert client.get(f"{URL}{later.pk + 1000}/").status_code == 404
    assert client.get(f"{URL}99999999999999999999/").status_code == 404


def test_the_list_tells_what_holds_now_what_is_to_come_and_what_has_ended(client):
    make_contract("now")
    make_contract("to come", valid_from=datetime(2199, 1, 1, tzinfo=UTC))
    make_contract("over", valid_until=MARCH)
    make_contract("mistake")
    contracts.end(name="mistake", ends_at=JANUARY, by="tests", approved_by="tests", at=JULY)
    set_price("1", offering=make_offering(), contract=Contract.objects.get(name="now"))

    rows = {row.name: row for row in page_of.contracts(at=timezone.now())}

    assert list(rows) == ["mistake", "now", "over", "to come"]
    assert rows["now"].own_prices == 1
    signed_in(client, "viewer")
    page = client.get(URL).content.decode()
    for words in ("in force", "to come", "ended", "taken back", "all of openai", "10 % off list"):
        assert words in page, words
    assert NEW not in page


def test_a_contract_is_found_once_however_many_terms_it_has(client):
    contract = make_contract()
    make_contract(valid_from=JULY, discount_percent=Decimal(20))
    signed_in(client, "viewer")

    page = client.get("/search/?q=2026").content.decode()

    assert page.count(f'href="{URL}{contract.pk}/"') == 1


def test_without_a_contract_the_page_says_what_to_do(client):
    signed_in(client, "viewer")
    assert "Somebody with the role finance or approver" in client.get(URL).content.decode()
    signed_in(client, "approver")
    assert "Enter the first contract" in client.get(URL).content.decode()


def test_what_people_wrote_stays_text(client):
    contract = make_contract(HOSTILE, note=HOSTILE)
    signed_in(client, "finance")

    for path in (URL, f"{URL}{contract.pk}/", f"{URL}{contract.pk}/change/", f"{URL}{contract.pk}/end/", "/prices/"):
        page = client.get(path).content.decode()
        assert HOSTILE not in page, path


def test_the_list_asks_the_same_few_questions_however_many_there_are(client, django_assert_num_queries):
    make_contract()
    signed_in(client, "viewer")
    client.get(URL)

    with django_assert_num_queries(LIST_QUERIES):
        client.get(URL)
    for number in range(5):
        make_contract(f"contract {number}")
    with django_assert_num_queries(LIST_QUERIES):
        client.get(URL)


LIST_QUERIES = 8


@pytest.mark.parametrize("role", ["viewer", "engineer", "platform"])
def test_who_may_not_approve_prices_may_not_touch_contracts(client, role):
    making.make_priced_offering()
    contract = make_contract()
    one = f"{URL}{contract.pk}/"
    signed_in(client, role)

    assert client.get(one).status_code == 200
    for path in (NEW, f"{one}change/", f"{one}end/"):
        assert client.get(path).status_code == 403, path
        assert client.post(path, {**TYPED, "ends_at": "2026-07-01"}).status_code == 403, path
        assert path not in client.get(one).content.decode()
    assert terms() == [(Decimal(10), JANUARY, None)]


def test_strangers_are_sent_to_sign_in(client):
    contract = make_contract()

    for path in (NEW, f"{URL}{contract.pk}/", f"{URL}{contract.pk}/change/", f"{URL}{contract.pk}/end/"):
        assert client.get(path)["Location"].startswith("/accounts/login/"), path


NIGHT = {"name": "night", "zone": "Asia/Shanghai", "weekdays": ["0", "1"], "starts": "22:00", "ends": "06:00"}


def test_hours_are_made_and_shown(client):
    signed_in(client, "approver")

    assert client.post("/prices/hours/", NIGHT)["Location"] == "/prices/hours/"

    made = HourWindow.objects.get()
    assert (made.zone, made.weekdays, made.starts, made.ends) == ("Asia/Shanghai", [0, 1], time(22), time(6))
    page = client.get("/prices/hours/").content.decode()
    assert "22:00 to 06:00" in page
    assert "of the next day" in page
    assert "Mon, Tue" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": ""}, "errors"),
        ({"zone": "Mars/Phobos"}, "There is no time zone"),
        ({"weekdays": []}, "Give the days"),
        ({"weekdays": ["9"]}, "Select a valid choice"),
        ({"starts": ""}, "Give a time such as 16:30."),
        ({"ends": "25:00"}, "Enter a valid time."),
    ],
)
def test_hours_that_cannot_be_are_refused(client, changed, sentence):
    signed_in(client, "approver")

    answer = client.post("/prices/hours/", {**NIGHT, **changed})

    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not HourWindow.objects.exists()


def test_hours_that_were_made_never_change(client):
    signed_in(client, "approver")
    client.post("/prices/hours/", NIGHT)

    answer = client.post("/prices/hours/", {**NIGHT, "ends": "07:00"})

    assert answer.status_code == 422
    assert HourWindow.objects.get().ends == time(6)


def test_who_may_not_approve_prices_sees_hours_and_makes_none(client):
    signed_in(client, "engineer")

    assert "Make the hours" not in client.get("/prices/hours/").content.decode()
    assert client.post("/prices/hours/", NIGHT).status_code == 403
    assert not HourWindow.objects.exists()


@pytest.mark.parametrize(
    ("days", "words"),
    [(range(7), "every day"), (range(5), "Mon to Fri"), ([5, 6], "Sat, Sun"), ([0, 2, 4], "Mon, Wed, Fri"), ([], "")],
)
def test_weekdays_are_told_short(days, words):
    assert days_words(list(days)) == words
