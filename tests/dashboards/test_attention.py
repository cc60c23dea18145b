"""The Attention page: what waits for a person, with the one click that shows what settling it would do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog.models import Offering, Team, Tier, UseCase
from catalog.services import teams, use_cases
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage import making
from usage.models import LedgerEntry, RollupDay

pytestmark = pytest.mark.django_db


SNAPSHOT = "gpt-5.5-2026-04-23@openai"


def everything_waits() -> None:
    """Book a name that is close to a known one, a model without a tier, labels close to known ones, another cost."""
    making.make_priced_offering()
    making.make_offering("no-tier@openai", tier=None, uncached_input="1", output="2")
    use_cases.create(name="support-routing", by="tests", at=timezone.now())
    teams.create(name="payments", by="tests", at=timezone.now())
    book(
        call(model="GPT-5.5-2026-04-23", team="Pay-ments", use_case="support_routing"),
        call(model="no-tier"),
        call(usd=5, reported_cost_usd=Decimal(4)),
        call(use_case="", team=""),
    )


def click(client, address, **fields):
    """Fill a form in, see what it would do, and confirm it."""
    shown = client.post(address, fields)
    assert shown.status_code == 200, shown.context["form"].errors
    return shown, client.post(address, {**fields, "confirm": shown.context["confirm"]})


def test_each_list_says_what_waits_why_and_what_it_probably_is(client):
    everything_waits()
    signed_in(client, "admin")

    answer = client.get("/attention/")

    page = answer.content.decode()
    assert [(name, count) for name, _, count, _, _ in answer.context["lists"]] == [
        ("unpriced", 1), ("names", 1), ("unclassified", 2), ("use-cases", 1), ("teams", 1),
    ]  # fmt: skip
    (unpriced,) = answer.context["unpriced"]
    assert (unpriced.row.name, unpriced.reasons) == (SNAPSHOT, ["no price at all"])
    assert unpriced.assign_url.endswith("/assign/?into=gpt-5.5%40openai")
    assert "unpriced, " in page  # unknown is not free
    assert f'href="/prices/new/?offering={SNAPSHOT.replace("@", "%40")}"' in page
    assert "reported as <code>openai/GPT-5.5-2026-04-23</code>" in page
    (name,), (use_case,), (team,) = (answer.context[key] for key in ("names", "use_cases", "teams"))
    assert (name.into, name.sure) == ("gpt-5.5@openai", True)
    assert (use_case.into, team.into) == ("support-routing", "payments")
    assert "named no use case" in page
    assert [(one.row.offering, one.share) for one in answer.context["differences"]] == [
        ("gpt-5.5@openai", "+25.0\N{NO-BREAK SPACE}%")
    ]


def test_one_click_shows_what_assigning_a_suggestion_does_and_another_does_it(client):
    everything_waits()
    signed_in(client, "engineer")
    (line,) = client.get("/attention/").context["names"]
    before = LedgerEntry.objects.count()

    shown, done = click(client, line.assign_url, into=line.into, since=line.since, reason="")

    assert shown.context["estimate"].total.entries == 1
    assert b'would be <strong title="$5.00">$5.00</strong>' in shown.content
    assert LedgerEntry.objects.count() == before
    assert done["Location"] == "/attention/"
    assert Offering.objects.get(name=SNAPSHOT).state == "merged"
    after = client.get("/attention/")
    assert after.context["names"] == []
    assert b"means gpt-5.5@openai from" in after.content


def test_what_was_called_before_the_day_a_name_was_assigned_from_can_be_assigned_too(client):
    making.make_priced_offering()
    book(call(model="GPT-5.5-2026-04-23", at=timezone.now() - timedelta(days=3)))
    signed_in(client, "finance")
    address = reverse("offering-assign", args=[SNAPSHOT])
    click(client, address, into="gpt-5.5@openai", since=f"{timezone.now():%Y-%m-%d}", reason="")

    page = client.get("/attention/?list=unpriced")

    (line,) = page.context["unpriced"]
    assert (line.row.state, line.assign_url) == ("merged", address)
    assert "Assign earlier calls" in page.content.decode()
    assert client.get(f"/catalog/{SNAPSHOT}/").context["page"].means == "gpt-5.5@openai"


def test_a_digest_of_something_else_confirms_nothing(client):
    everything_waits()
    signed_in(client, "engineer")
    address = reverse("offering-assign", args=[SNAPSHOT])
    today = f"{timezone.now():%Y-%m-%d}"
    shown = client.post(address, {"into": "gpt-5.5@openai", "since": today, "reason": ""})

    answer = client.post(
        address, {"into": "no-tier@openai", "since": today, "reason": "", "confirm": shown.context["confirm"]}
    )

    assert answer.status_code == 200
    assert Offering.objects.get(name=SNAPSHOT).state == "waiting"


def test_use_cases_and_teams_are_merged_into_what_they_probably_are(client):
    everything_waits()
    signed_in(client, "finance")
    shown = client.get("/attention/").context
    (use_case,), (team,) = shown["use_cases"], shown["teams"]

    effect, _ = click(client, use_case.assign_url, into=use_case.into, since=use_case.since, reason="a slip")
    click(client, team.assign_url, into=team.into, since=team.since, reason="")

    assert effect.context["estimate"].total.entries == 1
    assert UseCase.objects.get(folded="support_routing").state == "merged"
    assert Team.objects.get(folded="pay-ments").state == "merged"


def test_use_cases_and_teams_are_claimed_with_an_owner_and_a_team(client):
    everything_waits()
    person = signed_in(client, "finance")
    shown = client.get("/attention/").context
    (use_case,), (team,) = shown["use_cases"], shown["teams"]

    refused = client.post(use_case.claim_url, {"owner": " ", "team": "payments", "reason": ""})
    click(client, use_case.claim_url, owner="ann@example.com", team="payments", reason="")
    click(client, team.claim_url, reason="real")

    assert (refused.status_code, list(refused.context["form"].errors)) == (422, ["owner"])
    claimed = UseCase.objects.get(folded="support_routing")
    assert (claimed.state, claimed.owner, claimed.teams.get().team.name) == ("claimed", "ann@example.com", "payments")
    assert Team.objects.get(folded="pay-ments").state == "claimed"
    assert str(person) in client.get(use_case.claim_url).content.decode()  # who claims is offered as the owner


def test_what_cannot_be_assigned_is_said_at_its_field(client):
    everything_waits()
    signed_in(client, "finance")
    use_case = UseCase.objects.get(folded="support_routing")
    address = reverse("use-case-assign", args=[use_case.pk])

    unknown = client.post(address, {"into": "nobody knows", "since": "2026-06-01"})
    itself = client.post(address, {"into": "support_routing", "since": "2026-06-01"})
    no_day = client.post(address, {"into": "support-routing", "since": "June"})
    offering = client.post(reverse("offering-assign", args=[SNAPSHOT]), {"into": "nobody@knows", "since": "2026-06-01"})

    for answer, field in ((unknown, "into"), (itself, "into"), (no_day, "since"), (offering, "into")):
        assert answer.status_code == 422
        assert answer.context["form"].errors[field]
    assert client.get("/attention/use-cases/1/assign/").status_code == 404  # events that name none
    assert client.get("/attention/teams/999999/claim/").status_code == 404


def test_tiers_are_given_to_several_models_at_once(client):
    everything_waits()
    signed_in(client, "platform")
    form = client.get("/attention/tiers/").context["form"]
    first, second = (f"tier_{id_}" for id_ in form.offerings)
    today = f"{timezone.now():%Y-%m-%d}"

    nothing = client.post("/attention/tiers/", {first: "", second: "", "since": today, "reason": ""})
    _, done = click(client, "/attention/tiers/", **{first: "economy", second: "", "since": today, "reason": ""})

    assert nothing.status_code == 422
    assert done["Location"] == "/attention/?list=unclassified"
    (held,) = Offering.objects.get(pk=next(iter(form.offerings))).tiers.all()
    assert held.tier == Tier.ECONOMY
    assert client.get("/attention/tiers/").context["form"].offerings.keys() == {list(form.offerings)[1]}


def test_a_long_list_has_pages_of_its_own(client):
    making.make_priced_offering()
    book(*(call(use_case=f"Use case {n:02}") for n in range(27)))
    signed_in(client, "viewer")

    whole = client.get("/attention/")
    first = client.get("/attention/?list=use-cases")
    second = client.get("/attention/?list=use-cases&page=2")

    assert len(whole.context["use_cases"]) == 8
    assert b"All 27" in whole.content
    assert (len(first.context["use_cases"]), len(second.context["use_cases"])) == (25, 2)
    assert b"Page 1 of 2" in first.content


def test_an_empty_house_says_that_nothing_waits_and_what_would_appear(client):
    signed_in(client, "viewer")

    page = client.get("/attention/").content.decode()

    assert "Nothing waits for anybody" in page
    for words in ("Every name is known", "Every model has a tier", "No gateway reported a cost"):
        assert words in page


@pytest.mark.parametrize(
    "query", ["list=x", "page=2", "list=names&page=0", "list=names&page=x", "other=1", "list=names%00"]
)
def test_what_means_nothing_is_answered_with_404(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/attention/?{query}").status_code == 404


def test_names_that_are_markup_stay_text(client):
    making.make_priced_offering()
    book(call(use_case=HOSTILE, team=HOSTILE, model=HOSTILE), call(use_case="x"))
    signed_in(client, "admin")

    page = client.get("/attention/").content.decode()

    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_the_page_asks_the_same_few_questions_however_much_waits(client, django_assert_num_queries):
    everything_waits()
    signed_in(client, "viewer")
    client.get("/attention/")

    with django_assert_num_queries(PAGE_QUERIES):
        client.get("/attention/")
    book(*(call(model=f"unknown-{n}", use_case=f"use {n}", team=f"team {n}") for n in range(9)))
    client.get("/attention/")
    with django_assert_num_queries(PAGE_QUERIES):
        client.get("/attention/")


PAGE_QUERIES = 19


WRITES = (
    "/attention/tiers/",
    "/catalog/new/",
    *(f"/catalog/gpt-5.5@openai/{step}/" for step in ("tier", "name", "assign", "facts", "retire")),
)


def test_viewers_see_what_waits_and_change_nothing_and_strangers_see_nothing(client):
    everything_waits()
    use_case, team = UseCase.objects.get(folded="support_routing"), Team.objects.get(folded="pay-ments")
    writes = (
        *WRITES,
        *(reverse(f"use-case-{step}", args=[use_case.pk]) for step in ("assign", "claim")),
        *(reverse(f"team-{step}", args=[team.pk]) for step in ("assign", "claim")),
    )
    reads = ("/attention/", "/attention/reported/", "/attention/reported/gpt-5.5@openai/")

    for path in (*writes, *reads):
        assert client.get(path)["Location"].startswith("/accounts/login/"), path
    signed_in(client)
    for path in (*writes, *reads):
        assert client.get(path).status_code == 403, path
    signed_in(client, "viewer")
    for path in writes:
        assert (client.get(path).status_code, client.post(path, {}).status_code) == (403, 403), path
    for path in reads:
        assert client.get(path).status_code == 200, path
    assert b"Assign to it" not in client.get("/attention/").content
    assert b"/prices/new/" not in client.get("/attention/").content
    assert client.post("/attention/").status_code == 405


# --- reported costs ---


def test_reported_costs_are_shown_with_the_difference_and_lead_to_days_and_gateways(client):
    making.make_priced_offering()
    now = timezone.now()
    book(call(usd=5, reported_cost_usd=Decimal(4)), gateway="west")
    book(call(usd=5, at=now - timedelta(days=1), reported_cost_usd=Decimal(5)), gateway="east")
    signed_in(client, "viewer")

    apart = client.get("/attention/reported/")
    every = client.get("/attention/reported/?every=1")
    one = client.get(apart.context["rows"][0].url)

    assert [row.row.ours_usd for row in apart.context["rows"]] == [5]
    assert len(every.context["rows"]) == 2
    assert apart.context["total"].share == "+11.1\N{NO-BREAK SPACE}%"
    assert [(row.row.gateway, row.row.apart) for row in one.context["rows"]] == [("west", True), ("east", False)]
    assert [(name, each.row.difference_usd) for name, each in one.context["by_gateway"]] == [("east", 0), ("west", 1)]
    assert client.get("/attention/reported/nothing@here/").status_code == 404


def test_days_of_reported_costs_are_chosen_and_empty_ones_say_so(client):
    making.make_priced_offering()
    book(call(usd=5, reported_cost_usd=Decimal(4)))
    signed_in(client, "viewer")

    page = client.get("/attention/reported/?from=2025-01-01&to=2025-01-31").content.decode()

    assert "Nothing to compare in these days" in page
    assert "1 Jan 2025 to 31 Jan 2025, both included: 31 days" in page


@pytest.mark.parametrize("page", ["/attention/reported/", "/attention/reported/gpt-5.5@openai/"])
@pytest.mark.parametrize(
    "query",
    ["from=x", "from=2026-02-30", "from=2026-03-01&to=2026-02-01", "from=2020-01-01&to=2026-01-01", "page=0",
     "every=yes", "group_by=x"],
)  # fmt: skip
def test_days_that_mean_nothing_are_refused_with_a_sentence(client, page, query):
    making.make_priced_offering()
    signed_in(client, "viewer")

    answer = client.get(f"{page}?{query}")

    assert answer.status_code == 400
    assert answer.context["problems"]
    assert b'role="alert"' in answer.content


def test_reported_costs_take_the_same_few_queries_however_much_there_is(client, django_assert_num_queries):
    making.make_priced_offering()
    now = timezone.now()
    book(call(usd=5, reported_cost_usd=Decimal(4)))
    signed_in(client, "viewer")
    book(*(call(usd=1, at=now - timedelta(days=n), reported_cost_usd=Decimal(4)) for n in range(9)))

    with django_assert_num_queries(5):
        client.get("/attention/reported/")
    with django_assert_num_queries(6):
        client.get("/attention/reported/gpt-5.5@openai/")
    assert RollupDay.objects.count() > 5
