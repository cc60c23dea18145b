from __future__ import annotations

import pytest

from catalog.models import UseCase
from tests.usage import making

pytestmark = pytest.mark.django_db


@pytest.fixture
def used():
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", uncached_input="1", output="2")
    cheap = {"provider": "deepseek", "model": "deepseek-v4-flash", "uncached_input_tokens": 1_000_000}
    making.send(making.make_event(**cheap, output_tokens=0), making.make_event(use_case="other"))
    return UseCase.objects.get(name="support-routing")


def test_a_baseline_is_chosen_with_a_reason_and_savings_are_told_against_it(api, used):
    writer = api("write")
    choice = {"baseline": "gpt-5.5@openai", "reason": "it did all before"}

    chosen = writer.patch(f"use-cases/{used.pk}", choice)
    answer = writer.get("savings", {"from": "2026-06-01", "to": "2026-07-01"})

    assert (chosen.status_code, chosen.json()["baseline"]) == (200, "gpt-5.5@openai")
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert told["total"]["net_usd"] == "4"
    assert told["without_baseline"] == ["other"]
    assert told["rows"][0] == {
        "use_case": "support-routing", "month": "2026-06-01", "baseline": "gpt-5.5@openai", "requests": 1,
        "own_requests": 0, "paid_usd": "1", "at_baseline_usd": "5", "cache_lost_usd": "0", "net_usd": "4",
        "left_out_requests": 0, "spend_usd": "1", "covered": "1",
    }  # fmt: skip
    assert told["rows"][1]["baseline"] is None
    taken = writer.patch(f"use-cases/{used.pk}", {"baseline": None, "reason": "nobody asks"})
    assert taken.json()["baseline"] is None


@pytest.mark.parametrize(
    "choice", [{"baseline": "gpt-5.5@openai"}, {"baseline": "nobody@nowhere", "reason": "x"}, {"baseline": 5.5}]
)
def test_a_choice_that_cannot_be_is_refused_and_changes_nothing(api, used, choice):
    answer = api("write").patch(f"use-cases/{used.pk}", choice)

    assert answer.status_code in (404, 422)
    used.refresh_from_db()
    assert used.baseline is None


def test_a_month_is_asked_for_as_on_the_page_or_as_days_and_never_both(api, used):
    reader = api("read")

    by_month = reader.get("savings", {"month": "2026-06"})
    by_days = reader.get("savings", {"from": "2026-06-01", "to": "2026-07-01"})

    assert by_month.json() == by_days.json()
    assert (by_month.json()["from"], by_month.json()["to"]) == ("2026-06-01", "2026-07-01")
    assert len(by_month.json()["rows"]) == 2
    assert reader.get("savings", {"month": "2026-06", "from": "2026-06-01"}).status_code == 422
    assert reader.get("savings", {"month": "June"}).status_code == 404


def test_who_may_only_look_sees_savings_and_chooses_nothing(api, used):
    reader = api("read")

    assert reader.get("savings").status_code == 200
    assert reader.patch(f"use-cases/{used.pk}", {"baseline": None, "reason": "x"}).status_code == 403
    assert api("usage:write", name="other").get("savings").status_code == 403


@pytest.mark.parametrize(
    ("query", "status"),
    [({"from": "x"}, 400), ({"from": "2026-06-01", "to": "2026-06-01"}, 422), ({"by": "x"}, 400),
     ({"from": "2020-01-01", "to": "2026-06-01"}, 422), ({"to": "0001-01-01"}, 422)],
)  # fmt: skip
def test_a_range_that_means_nothing_is_refused_with_a_sentence(api, query, status):
    answer = api("read").get("savings", query)

    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
