"""Changes to the past over REST: what they moved, what one would move, and putting a failed run in line again."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Amendment, Contract, OfferingTier, Price, Team, UseCase
from catalog.services import offerings, teams, use_cases
from core.models import Job, JobState
from tests.usage import making
from tests.usage.making import DAY, NOON, SECOND, make_event, make_priced_offering, send, set_price
from tests.usage.test_usage_restating import LATER, restate
from usage import api_corrections
from usage.models import LedgerEntry
from usage.selectors import corrections
from usage.services import rerating
from usage.services.restating import running

SINCE = (NOON - DAY).isoformat()


@pytest.fixture
def offering(db):
    """An offering with two booked calls, one of them ten days before the other; nothing is left to restate."""
    made = make_priced_offering()
    send(make_event(), make_event(occurred_at=NOON - 10 * DAY), make_event(use_case="other"))
    restate(NOON + SECOND)
    return made


def corrected(offering, usd="40", at=LATER, **overrides):
    set_price(offering, "output", usd, **{"at": at, "note": "the invoice says so", **overrides})
    return f"a{Amendment.objects.latest('id').pk}"


def price(**overrides):
    given = {
        "change": "price", "offering": "gpt-5.5@openai", "meter": "output", "usd_per_1m": "40", "source": "invoice",
        "valid_from": SINCE,
    }  # fmt: skip
    return given | overrides


# --- what became of changes ---


def test_a_correction_is_told_from_its_line_to_its_restatement(api, offering):
    client = api("read")
    key = corrected(offering, valid_from=NOON - DAY)

    waiting = client.get(f"corrections/{key}").json()
    restate()
    done = client.get(f"corrections/{key}").json()

    assert (waiting["state"], waiting["total"], waiting["entries"]) == ("in_line", None, None)
    assert (done["state"], done["done"], done["total"], done["entries"]) == ("restated", 2, 2, 2)
    assert (done["before_usd"], done["after_usd"], done["difference_usd"]) == ("0.016", "0.018", "0.002")
    assert (done["by"], done["reason"]) == ("finance@example.com", "the invoice says so")
    (month,) = done["months"]
    assert (month["month"], month["closed"], month["difference_usd"]) == ("2026-06", False, "0.002")
    assert {one["use_case"]: one["entries"] for one in done["use_cases"]} == {"support-routing": 1, "other": 1}
    (recorded,) = done["prices"]
    assert (recorded["offering"], recorded["usd_per_1m"]) == ("gpt-5.5@openai", "40")
    assert recorded["id"] == Price.objects.latest("id").pk


def test_corrections_come_newest_first_page_by_page_and_by_state(api, offering):
    client = api("read")
    keys = [corrected(offering, usd, at=LATER + n * SECOND) for n, usd in enumerate(("31", "32", "33"))]
    restate(LATER + DAY)

    first = client.get("corrections", {"limit": 2}).json()
    rest = client.get("corrections", {"after": first["next"].partition("after=")[2].partition("&")[0]}).json()
    restated = client.get("corrections", {"state": "restated"}).json()["results"]

    assert [one["id"] for one in first["results"]] == keys[:0:-1]
    assert rest["results"][0]["id"] == keys[0]
    assert len(rest["results"]) == Amendment.objects.count() - 2
    assert rest["next"] is None
    assert [one["id"] for one in restated] == keys[:1], "the first run put all of it right"


def test_the_list_takes_one_query_however_many_there_are(api, offering):
    corrected(offering)
    restate()

    with CaptureQueriesContext(connection) as queries:
        corrections.listed(most=100)

    assert len(queries) == 1


def test_a_price_that_arrived_stands_among_the_corrections(api, offering):
    making.make_offering("gpt-5.6@openai", uncached_input="5")
    # Dated ahead, so that the price that it waits for amends no past.
    send(make_event(model="gpt-5.6", occurred_at=LATER + SECOND))
    restate()
    set_price(offerings.get("gpt-5.6@openai"), "output", "30", valid_from=LATER, at=LATER)
    rerating.look_for_prices(since_revision=-1, at=LATER)
    restate()

    (found,) = [one for one in api("read").get("corrections").json()["results"] if one["kind"] == "price_arrived"]
    full = api("read").get(f"corrections/{found['id']}").json()

    assert (found["summary"], found["state"]) == ("a price arrived for gpt-5.6@openai", "restated")
    assert (found["before_usd"], found["after_usd"]) == ("0", "0.008")
    assert (found["unpriced_tokens_before"], found["unpriced_tokens_after"]) == (1100, 0)
    assert (full["offerings"], full["months"]) == (["gpt-5.6@openai"], [])


@pytest.mark.parametrize("key", ["a999999", "j999999", "x1", "a", "1", "a1e3"])
def test_what_is_no_correction_is_not_found(api, db, key):
    assert api("admin").get(f"corrections/{key}").status_code == 404
    assert api("admin").post(f"corrections/{key}/again").status_code == 404


def test_a_failed_run_is_put_in_line_again_by_whoever_may_put_prices_in_force(api, offering):
    key = corrected(offering)
    running.take_up(at=LATER)
    Job.objects.filter(kind=running.KIND, state=JobState.WAITING).update(state=JobState.FAILED, error="disk on fire")

    assert api("read", name="reader").post(f"corrections/{key}/again").status_code == 403
    failed = api("read").get(f"corrections/{key}").json()
    told = api("write", name="books").post(f"corrections/{key}/again")
    twice = api("write").post(f"corrections/{key}/again")

    assert (failed["state"], failed["error"]) == ("failed", "disk on fire")
    assert (told.status_code, told.json()["state"]) == (200, "in_line")
    assert twice.status_code == 409
    assert Job.objects.latest("id").arguments["again"][0]["by"] == "key:books"


def test_a_run_that_was_not_taken_up_yet_cannot_be_put_in_line_again(api, offering):
    assert api("write").post(f"corrections/{corrected(offering)}/again").status_code == 409


# --- what a change would do ---


def test_a_price_is_looked_at_before_it_is_set_and_leaves_nothing_behind(api, offering):
    before = Price.objects.count(), Amendment.objects.count(), LedgerEntry.objects.count()

    answer = api("write").post("corrections/preview", price())

    assert answer.status_code == 200
    found = answer.json()
    assert found["changes"] == ["1 price of gpt-5.5@openai"]
    assert found["total"] == {
        "entries": 2, "tokens": 2200, "before_usd": "0.016", "after_usd": "0.018", "difference_usd": "0.002",
        "unpriced_tokens_before": 0, "unpriced_tokens_after": 0,
    }  # fmt: skip
    assert [(one["month"], one["closed"], one["entries"]) for one in found["months"]] == [("2026-06", False, 2)]
    assert sorted(one["use_case"] for one in found["use_cases"]) == ["other", "support-routing"]
    assert (Price.objects.count(), Amendment.objects.count(), LedgerEntry.objects.count()) == before


def test_every_kind_of_change_can_be_looked_at(api, offering):
    other = make_priced_offering("gpt-5.6@openai")
    team = teams.create(name="support", by="tests", at=NOON)
    use_cases.create(name="support", by="tests", at=NOON, team=team)
    send(make_event(team="suport"), make_event(model="gpt-5.6"))
    restate(NOON + 2 * SECOND)
    client = api("write")
    counts = (Amendment, Contract, OfferingTier, Price)
    before = [kind.objects.count() for kind in counts]
    other_use_case, odd_team = UseCase.objects.get(name="other"), Team.objects.get(name="suport")

    changes = {
        "contract": {
            "name": "frame", "provider": "openai", "discount_percent": "50", "valid_from": SINCE,
            "own_prices": [{"offering": "gpt-5.6", "meter": "output", "usd_per_1m": "10"}],
        },
        "tier": {"id": offering.pk, "tier": "middle", "tier_since": SINCE},
        "region": {"id": offering.pk, "region": "eu"},
        "alias": {"id": other.pk, "name": "openai/gpt-5.5", "since": SINCE},
        "merge_offering": {"id": offering.pk, "into": "gpt-5.6@openai", "since": SINCE},
        "merge_use_case": {"id": other_use_case.pk, "into": "support", "since": SINCE},
        "merge_team": {"id": odd_team.pk, "into": "support", "since": SINCE},
    }  # fmt: skip
    answers = {name: client.post("corrections/preview", {"change": name, **given}) for name, given in changes.items()}

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(changes, 200)
    entries = {name: answer.json()["total"]["entries"] for name, answer in answers.items()}
    assert entries == {
        "contract": 4, "tier": 3, "region": 0, "alias": 3, "merge_offering": 3, "merge_use_case": 1, "merge_team": 1,
    }  # fmt: skip
    assert set(changes) | {"price", "proposals"} == set(api_corrections.CHANGES)
    assert [kind.objects.count() for kind in counts] == before


@pytest.mark.parametrize("change", sorted(api_corrections.CHANGES))
def test_a_preview_asks_for_the_action_that_the_change_itself_needs(api, db, change):
    assert api("read", name="reader").post("corrections/preview", {"change": change}).status_code == 403
    assert api("write", name="writer").post("corrections/preview", {"change": change}).status_code == 422


@pytest.mark.parametrize("body", [{}, {"change": "nonsense"}, {"change": ["price"]}, {"change": None}, []])
def test_a_change_that_nobody_knows_is_refused_with_those_that_there_are(api, db, body):
    answer = api("write").post("corrections/preview", body)

    assert answer.status_code == 422
    assert "merge_use_case" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"usd_per_1m": "300000"}, 422),
        ({"usd_per_1m": "x"}, 422),
        ({"offering": "unheard-of"}, 404),
        ({"currency": "EUR"}, 422),
        ({"unknown": 1}, 422),
    ],
)
def test_a_preview_refuses_what_the_change_refuses(api, offering, given, status):
    preview = api("write").post("corrections/preview", price(**given))
    made = api("write").post("prices", {name: value for name, value in price(**given).items() if name != "change"})

    assert (preview.status_code, made.status_code) == (status, status)


def test_proposals_that_are_not_there_cannot_be_looked_at(api, db):
    answer = api("write").post("corrections/preview", {"change": "proposals", "ids": [999_999]})

    assert answer.status_code == 404
