"""Setting prices from the console: read as a person writes them, shown before they hold, all or none."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from django import forms

from catalog.models import Amendment, ClaimState, HourWindow, Offering, Price
from catalog.services import contracts
from core.models import Organisation
from dashboards.forms_prices import moment, written
from dashboards.selectors import prices as page_of
from dashboards.templatetags.figures import GAP
from dashboards.views import prices_units
from tests.catalog.making import JANUARY, JULY, make_offering, set_price
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage import making

pytestmark = pytest.mark.django_db
URL = "/prices/new/"
TYPED = {
    "offering": "gpt-5.5@openai",
    "valid_from": "2026-01-01",
    "usd_uncached_input": "4",
    "usd_output": "24",
    "source": "invoice",
    "source_version": "4711",
    "source_url": "https://example.com/invoice",
    "note": "the invoice says so",
}


def held(**filters):
    """Return the prices held true now, as (meter, USD)."""
    found = Price.objects.filter(recorded__upper_inf=True, **filters).order_by("series__meter", "valid")
    return [(one.series.meter, f"{one.usd_per_1m.normalize():f}") for one in found.select_related("series")]


def confirmed(client, url, data):
    """Send a form, look at its effect, and confirm it."""
    shown = client.post(url, data)
    assert shown.status_code == 200, shown.content.decode()
    (digest,) = re.findall(r'name="confirm" value="([0-9a-f]{32})"', shown.content.decode())
    return client.post(url, {**data, "confirm": digest})


def test_several_meters_are_set_in_one_go_after_their_effect_was_shown(client):
    making.make_priced_offering()
    person = signed_in(client, "finance")

    shown = client.post(URL, TYPED)

    page = shown.content.decode()
    assert shown.status_code == 200
    assert "What this does" in page
    assert held() == [("cache_read", "0.5"), ("output", "30"), ("uncached_input", "5")]

    done = confirmed(client, URL, TYPED)

    assert done["Location"] == "/catalog/gpt-5.5@openai/#prices"
    now = Price.objects.get(recorded__upper_inf=True, valid__upper_inf=True, series__meter="output")
    assert (now.usd_per_1m, now.source, now.source_version) == (Decimal(24), "invoice", "4711")
    assert (now.source_url, now.note) == ("https://example.com/invoice", "the invoice says so")
    assert (now.entered_by, now.approved_by) == (person.email, person.email)
    assert held(valid__upper_inf=True) == [("cache_read", "0.5"), ("output", "24"), ("uncached_input", "4")]
    assert Amendment.objects.filter(reason="the invoice says so").count() == 1, (
        "what is set together is one change of the past"
    )


def test_the_effect_on_what_was_booked_is_shown(client):
    making.make_priced_offering()
    book(call(usd=10))
    signed_in(client, "finance")

    page = client.post(URL, TYPED).content.decode()

    assert "1 event with" in page
    assert "$10" in page
    assert "$8" in page


def test_what_is_typed_stands_as_an_example_beside_what_the_book_says(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    page = client.post(URL, TYPED).content.decode()

    assert "1,000 input + 500 output tokens cost $0.0160" in page
    assert "1,000 input + 500 output tokens cost $0.0200" in page
    assert f"-20.0{GAP}%" in page
    assert "Is the unit right?" not in page


def test_a_price_that_looks_like_another_unit_is_asked_about_and_not_refused(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    page = client.post(URL, {**TYPED, "usd_uncached_input": "0.005"}).content.decode()

    assert "Is the unit right?" in page
    assert "1,000 times less than now, $5.00. As if one of the two were per 1,000" in page
    assert confirmed(client, URL, {**TYPED, "usd_uncached_input": "0.005"}).status_code == 302


@pytest.mark.parametrize(
    ("typed", "now", "others", "sentence"),
    [
        ({"output": "25"}, {"output": "30"}, {}, ""),
        ({"output": "3.01"}, {"output": "30"}, {}, ""),
        ({"output": "3"}, {"output": "30"}, {}, "10 times less than now, $30.00"),
        ({"output": "300"}, {"output": "30"}, {}, "10 times more than now, $30.00"),
        ({"output": "0"}, {"output": "30"}, {}, "would cost nothing"),
        ({"output": "0.00003"}, {"output": "30"}, {}, "for one token instead of for a million"),
        ({"output": "0"}, {}, {"uncached_input": "5"}, ""),
        ({"output": "50"}, {}, {"uncached_input": "5"}, ""),
        ({"output": "51"}, {}, {"uncached_input": "5"}, "10.2 times more than uncached input, $5.00"),
        ({"cache_read": "0.5"}, {}, {"uncached_input": "5", "output": "30"}, ""),
        ({"cache_read": "0.05"}, {}, {"uncached_input": "5", "output": "30"}, "100 times less than uncached input"),
        ({"uncached_input": "5", "output": "0.03"}, {}, {}, "167 times"),
        ({"web_searches": "10000"}, {}, {"uncached_input": "5"}, ""),
        ({"web_searches": "10"}, {"web_searches": "10000"}, {}, "1,000 times less"),
        ({"output": "NaN"}, {"output": "30"}, {"uncached_input": "5"}, ""),
        ({"output": "2"}, {"output": "0"}, {"uncached_input": "0"}, ""),
    ],
)
def test_a_unit_is_asked_about_from_ten_times_on(typed, now, others, sentence):
    found = prices_units.warnings(
        **{
            name: {meter: Decimal(usd) for meter, usd in given.items()}
            for name, given in (("typed", typed), ("now", now), ("others", others))
        }
    )

    assert bool(found) == bool(sentence)
    assert sentence in " ".join(words for _, words in found)


def test_prices_that_begin_later_and_would_be_replaced_are_named(client):
    making.make_priced_offering()
    making.set_price(Offering.objects.get(), "output", "33", valid_from=datetime(2198, 6, 1, tzinfo=UTC))
    signed_in(client, "finance")

    assert "Output at $33.00 from 1 Jun 2198" in client.post(URL, TYPED).content.decode()
    until = {**TYPED, "valid_until": "2198-06-01"}
    assert "which begin later" not in client.post(URL, until).content.decode()


def test_what_was_confirmed_is_what_was_shown(client):
    making.make_priced_offering()
    signed_in(client, "finance")
    shown = client.post(URL, TYPED).content.decode()
    (digest,) = re.findall(r'name="confirm" value="([0-9a-f]{32})"', shown)

    again = client.post(URL, {**TYPED, "usd_output": "2.4", "confirm": digest})

    assert again.status_code == 200
    assert ("output", "30") in held()


def test_all_that_a_series_has_can_be_said(client):
    offering = making.make_priced_offering()
    hours = HourWindow.objects.create(name="night", weekdays=[0], starts=time(22), ends=time(6))
    contracts.set_terms(
        name="framework", offering=offering, discount_percent=Decimal(5), valid_from=JANUARY,
        by="tests", approved_by="tests", at=JULY,
    )  # fmt: skip
    ((contract_id, _),) = page_of.contract_choices()
    signed_in(client, "finance")
    data = {
        "offering": "gpt-5.5", "valid_from": "2026-11-01 14:30", "valid_until": "2027-01-01", "usd_output": "1,250.50",
        "context_over": "200,000", "context_inclusive": "on", "service_tier": "flex", "region": "EU",
        "hours": str(hours.pk), "contract": str(contract_id), "source": "contract",
    }  # fmt: skip

    assert confirmed(client, URL, data).status_code == 302

    price = Price.objects.select_related("series").get(series__contract__isnull=False)
    series = price.series
    assert (series.context_over, series.context_inclusive, series.service_tier) == (200_000, True, "flex")
    assert (series.region, series.hour_window_id, series.contract_id) == ("eu", hours.pk, contract_id)
    assert price.usd_per_1m == Decimal("1250.50")
    assert price.valid.lower == datetime(2026, 11, 1, 14, 30, tzinfo=UTC)
    assert price.valid.upper == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_day_begins_in_the_organisations_zone(client):
    making.make_priced_offering()
    Organisation.objects.filter(pk=1).update(zone="Europe/Berlin")
    signed_in(client, "finance")

    confirmed(client, URL, TYPED)

    assert Price.objects.filter(valid__startswith=datetime(2025, 12, 31, 23, tzinfo=UTC)).exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"offering": ""}, "Say which offering."),
        ({"offering": "nobody@nowhere"}, "The catalogue has no offering"),
        ({"usd_uncached_input": "", "usd_output": ""}, "Give the price of one meter at least."),
        ({"usd_output": "1,5"}, "A price is a number of 0 or more."),
        ({"usd_output": "-1"}, "A price is a number of 0 or more."),
        ({"usd_output": "9000"}, "is the unit right?"),
        ({"usd_output": "0.00000000001"}, "at most 10 decimal places"),
        ({"source": " "}, "Say where the price comes from."),
        ({"source": "x" * 65}, "at most 64 characters"),
        ({"source_url": "javascript:alert(1)"}, "Enter a valid URL."),
        ({"valid_from": "01.11.2026"}, "Write a day as 2026-11-01"),
        ({"valid_from": "2026-02-30"}, "Write a day as 2026-11-01"),
        ({"valid_from": "0001-01-01"}, "no year in which prices hold"),
        ({"valid_until": "2025-01-01"}, "hold for no time at all"),
        ({"context_over": "many"}, "A whole number of tokens"),
        ({"context_over": "0"}, "A whole number of tokens"),
        ({"context_over": "99999999999"}, "A whole number of tokens"),
        ({"service_tier": "x" * 17}, "at most 16 characters"),
        ({"hours": "999"}, "Select a valid choice"),
        ({"contract": "999"}, "Select a valid choice"),
        ({"region": "x" * 33}, "at most 32 characters"),
        ({"note": "a\0b"}, "Null characters are not allowed."),
        ({"usd_output": "1\0"}, "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(client, changed, sentence):
    making.make_priced_offering()
    signed_in(client, "finance")

    answer = client.post(URL, {**TYPED, **changed})

    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert held() == [("cache_read", "0.5"), ("output", "30"), ("uncached_input", "5")]
    assert not Amendment.objects.filter(reason="the invoice says so").exists()


def test_each_problem_stands_at_the_field_of_its_meter(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    page = client.post(URL, {**TYPED, "usd_uncached_input": "x", "usd_output": "9000", "source": ""}).content.decode()

    assert 'id="id_usd_uncached_input_errors"' in page
    assert 'id="id_usd_output_errors"' in page
    assert page.count("Say where the price comes from.") == 1
    assert 'value="9000"' in page, "nothing that was typed is lost"
    assert "$30.00" in page
    assert "$30.00" in client.post(URL, {**TYPED, "valid_until": "soon"}).content.decode(), "the book stays beside it"


@pytest.mark.parametrize("scope", ["offering", "provider"])
def test_a_price_in_a_contract_with_somebody_else_is_refused(client, scope):
    making.make_priced_offering()
    other = make_offering("claude@anthropic")
    contracts.set_terms(
        name="theirs", offering=other if scope == "offering" else None,
        provider=other.provider if scope == "provider" else None, discount_percent=Decimal(5), valid_from=JANUARY,
        by="tests", approved_by="tests", at=JULY,
    )  # fmt: skip
    signed_in(client, "finance")
    ((pk, _),) = page_of.contract_choices()

    answer = client.post(URL, {**TYPED, "contract": str(pk)})

    assert answer.status_code == 422
    assert "would never hold by it" in answer.content.decode()


def test_an_offering_that_waits_is_claimed_with_its_first_price_and_a_merged_one_is_refused(client):
    offering = make_offering()
    Offering.objects.filter(pk=offering.pk).update(state=ClaimState.WAITING)
    signed_in(client, "finance")

    confirmed(client, URL, TYPED)

    offering.refresh_from_db()
    assert offering.state == ClaimState.CLAIMED
    Offering.objects.filter(pk=offering.pk).update(state=ClaimState.MERGED)
    assert "merged into another" in client.post(URL, TYPED).content.decode()


def test_the_form_comes_filled_in_from_an_address_with_what_the_book_says(client):
    making.make_priced_offering()
    set_price("2.5", offering=Offering.objects.get(), service_tier="batch")
    signed_in(client, "finance")

    ordinary = client.get(f"{URL}?offering=gpt-5.5@openai&meter=output").content.decode()
    batch = client.get(f"{URL}?offering=gpt-5.5@openai&service_tier=Batch").content.decode()
    odd = client.get(f"{URL}?offering=gpt-5.5@openai&service_tier=turbo").content.decode()

    assert 'value="gpt-5.5@openai"' in ordinary
    assert re.search(r'name="usd_output"[^>]*autofocus', ordinary)
    assert "$30.00" in ordinary
    assert "$30.00" not in batch
    assert "$2.50" in batch
    assert 'value="turbo"' in odd, "a tier that calls report and no price names can be priced"


@pytest.mark.parametrize(
    "query", ["offering=nobody", "offering=%00", "valid_from=x", "contract=x", "contract=9", "hours=x",
              "context_over=x", "meter=x", "usd_output=x", f"offering={'x' * 300}", f"source={'x' * 300}"],
)  # fmt: skip
def test_an_address_that_means_nothing_gives_an_empty_form(client, query):
    making.make_priced_offering()
    signed_in(client, "finance")

    assert client.get(f"{URL}?{query}").status_code == 200


def test_htmx_gets_the_meters_alone(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    part = client.get(f"{URL}?offering=gpt-5.5@openai&usd_output=7", headers={"HX-Request": "true"}).content.decode()

    assert part.lstrip().startswith('<div id="meters">')
    assert "$30.00" in part
    assert 'value="7"' in part


def test_what_people_wrote_stays_text(client):
    signed_in(client, "finance")

    page = client.post(URL, {**TYPED, "offering": HOSTILE, "note": HOSTILE}).content.decode()

    assert HOSTILE not in page


def test_the_form_asks_the_same_few_questions_however_long_the_book_is(client, django_assert_num_queries):
    making.make_priced_offering()
    signed_in(client, "finance")
    client.get(URL)

    with django_assert_num_queries(FORM_QUERIES):
        client.get(f"{URL}?offering=gpt-5.5@openai")
    for number in range(5):
        set_price("1", offering=Offering.objects.first(), service_tier=f"tier-{number}")
        make_offering(f"model-{number}@openai")
    with django_assert_num_queries(FORM_QUERIES):
        client.get(f"{URL}?offering=gpt-5.5@openai")


FORM_QUERIES = 11


@pytest.mark.parametrize("role", ["viewer", "engineer", "platform"])
def test_who_may_not_approve_prices_may_not_set_them(client, role):
    making.make_priced_offering()
    signed_in(client, role)

    assert client.get(URL).status_code == 403
    assert client.post(URL, TYPED).status_code == 403
    assert ("output", "30") in held()


def test_strangers_are_sent_to_sign_in(client):
    assert client.get(URL)["Location"].startswith("/accounts/login/")
    assert client.post(URL, TYPED)["Location"].startswith("/accounts/login/")


def test_an_approver_may_set_prices(client):
    making.make_priced_offering()
    signed_in(client, "approver")

    assert confirmed(client, URL, TYPED).status_code == 302


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-01", datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("2026-11-01 14:30", datetime(2026, 11, 1, 13, 30, tzinfo=UTC)),
        ("2026-11-01T14:30:15", datetime(2026, 11, 1, 13, 30, 15, tzinfo=UTC)),
        ("2026-11-01T14:30Z", datetime(2026, 11, 1, 14, 30, tzinfo=UTC)),
        ("2026-10-25 02:30+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_on_the_clock_of_the_zone_and_written_so_that_it_is_read_again(text, instant):
    assert moment(text, "Europe/Berlin") == instant
    assert moment(written(instant, "Europe/Berlin"), "Europe/Berlin") == instant


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2026-03-29 02:30", "skip that moment"),
        ("2026-10-25 02:30", "show that moment twice"),
        ("2026-11-01 25:00", "Write a day"),
        ("2026-11-01 14:30+99:00", "Write a day"),
        ("tomorrow", "Write a day"),
    ],
)
def test_a_moment_that_a_clock_shows_never_or_twice_is_refused(text, sentence):
    with pytest.raises(forms.ValidationError, match=sentence):
        moment(text, "Europe/Berlin")
