"""The list of use cases and the page of one: who owns it, what it costs, which rules and budgets it has to do with."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog.models import ClaimState, Tier, UseCase, UseCaseTeam
from catalog.services import use_cases
from core.models import AuditEntry, Organisation
from dashboards.selectors import use_case as page_of
from dashboards.selectors import use_cases as listed_of
from dashboards.selectors.use_cases import NOBODY, Wanted
from dashboards.templatetags.links import label_link, use_case_link
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_team, make_use_case, make_user
from tests.routing import making as rules
from tests.usage import making

pytestmark = pytest.mark.django_db


def names(**wanted):
    return [line.name for line in listed_of.use_cases(at=timezone.now(), zone="UTC", wanted=Wanted(**wanted)).lines]


def claimed(name: str, **facts) -> UseCase:
    return use_cases.create(name=name, by="tests", at=timezone.now() - timedelta(days=60), **facts)


def page(client, name: str = "support-routing") -> str:
    answer = client.get(reverse("use-case", args=[UseCase.objects.get(name=name).pk]))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("path", ["/use-cases/", "/use-cases/1/", "/teams/", "/teams/1/", "/models/gpt-5.5/"])
def test_a_stranger_is_sent_to_sign_in_and_who_has_no_role_sees_nothing(client, path):
    making.make_priced_offering()
    assert client.get(path)["Location"] == f"/accounts/login/?next={path}"

    signed_in(client)

    assert client.get(path).status_code == 403


def test_the_list_is_narrowed_by_words_state_team_owner_and_data_class():
    care = make_team("care")
    claimed("support", title="Answers customers", owner="lena@example.com", data_class="pii", team=care)
    claimed("billing", owner="omar@example.com")
    use_cases.add_alias(
        use_case=UseCase.objects.get(name="billing"), label="Rechnung", since_at=timezone.now(), by="tests"
    )
    make_use_case("seen", state=ClaimState.WAITING)

    assert names(words=["answers", "LENA"]) == ["support"]
    assert names(words=["rechnung"]) == ["billing"]
    assert names(words=["%"]) == []
    assert names(state="waiting") == ["seen"]
    assert names(team=str(care.pk)) == ["support"]
    assert names(team=NOBODY) == ["billing", "seen", "unassigned"]
    assert names(owner="omar@example.com") == ["billing"]
    assert names(data_class="pii") == ["support"]


def test_the_list_tells_spend_its_change_and_the_budgets_that_are_near(client):
    now = timezone.now()
    making.make_priced_offering()
    book(call(usd=30, at=now - timedelta(days=2)), at=now)
    book(call(usd=20, at=now - timedelta(days=33)), at=now)
    book(call(usd=1, use_case="cheap"), at=now)
    make_budget(unit="usd", amount=Decimal(10), at=now - timedelta(days=90), name="A ceiling")
    make_budget(unit="usd", amount=Decimal(10_000), at=now - timedelta(days=90), name="A roof", live=False)
    book(call(usd=9), at=now)
    signed_in(client, "viewer")

    content = client.get("/use-cases/").content.decode()

    assert names() == ["support-routing", "cheap", "unassigned"]
    assert names(order="name")[0] == "cheap"
    assert "$39.00" in content
    assert "+50.0\N{NO-BREAK SPACE}%" in content
    assert "90.0 % used" in content
    assert "A ceiling" in content
    assert "A roof" not in content
    assert "2 wait for an owner" in content


@pytest.mark.parametrize(
    "query", ["sort=cost;drop", "state=gone", "team=x", "page=0", "page=x", "q=%00", f"owner={'x' * 201}"]
)
def test_what_an_address_cannot_mean_is_no_error_of_ours(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/use-cases/?{query}").status_code == 404


def test_lists_and_pages_ask_no_more_with_more_in_them(client, django_assert_num_queries):
    making.make_priced_offering()
    making.make_offering("kimi-k3@moonshot", tier=Tier.ECONOMY, uncached_input="1", output="2")
    now = timezone.now()
    book(
        *(
            call(
                at=now - timedelta(days=n), use_case=f"case-{n % 3}", team=f"team-{n}", context={"task": f"task-{n}"},
                model="kimi-k3" if n % 2 else "gpt-5.5", provider="moonshot" if n % 2 else "openai",
            )
            for n in range(8)
        ),
        at=now,
    )  # fmt: skip
    for n in range(3):
        make_budget(scope={"use_case": [f"case-{n}"]}, name=f"budget {n}")
    signed_in(client, "viewer")
    client.get("/use-cases/")  # budgets are read once per process and change

    with django_assert_num_queries(16):
        client.get("/use-cases/")
    with django_assert_num_queries(31):
        page(client, "case-1")


def test_a_use_case_with_nothing_in_it_says_what_to_do(client):
    make_use_case("quiet")
    signed_in(client, "admin")

    content = page(client, "quiet")

    assert "Nothing was booked for it in 90 days" in content
    assert "No budget counts it" in content
    assert "No rules are in force" in content
    assert "No team answers for it" in content
    assert "data-chart=" not in content


def test_the_page_gathers_spend_models_tasks_team_and_trail(client):
    making.make_priced_offering()
    support = claimed(
        "support-routing", title="Answers customers", owner="lena@example.com", team=make_team("care"),
        team_since=timezone.now() - timedelta(days=5),
    )  # fmt: skip
    use_cases.change(use_case=support, by="omar@example.com", data_class="pii", reason="audited")
    book(call(usd=12, context={"task": "triage"}, requested_model="auto", latency_ms=400))
    make_budget(scope={"team": ["care"]}, name="All of care", unit="usd")
    signed_in(client, "viewer")

    content = page(client)

    for told in ("Answers customers", "lena@example.com", "$12.00", "triage", "auto", "care", "gpt-5.5@openai"):
        assert told in content
    assert "omar@example.com" in content
    assert "Because: audited" in content
    assert "Data class: nothing → pii" in content
    assert "Team care answers for it" in content
    assert "All of care" in content  # counts it among others
    assert 'href="/spend/?use_case=support-routing&amp;from=' in content
    assert reverse("model", args=["gpt-5.5"]) in content
    assert "Booked last" in content
    assert 'href="/events/' in content
    assert "/edit/" not in content  # a viewer changes nothing


def test_what_was_saved_against_the_baseline_is_told(client):
    making.make_priced_offering()
    making.make_offering("kimi-k3@moonshot", tier=Tier.ECONOMY, uncached_input="1", output="2")
    book(call(usd=10, provider="moonshot", model="kimi-k3"))  # two million tokens, for 2 USD
    UseCase.objects.filter(name="support-routing").update(baseline=making.make_offering("gpt-5.5@openai"))
    making.forget_everything()
    signed_in(client, "viewer")

    content = page(client)

    assert "$8.00" in content
    assert "80.0\N{NO-BREAK SPACE}% of what gpt-5.5@openai would have cost" in content


def test_rules_that_can_take_its_requests_stand_in_order_with_their_share():
    rules.stock()
    version = rules.make_version(
        rules.make_content(
            rules.make_rule("theirs", use_cases=["code-review"]),
            rules.make_rule("by-alias", use_cases=["Helpdesk"]),
            rules.make_rule("all", use_cases=None),
        ),
        at=timezone.now() - timedelta(days=1),
    )
    support = claimed("support-routing")
    use_cases.add_alias(use_case=support, label="helpdesk", since_at=timezone.now() - timedelta(days=9), by="tests")
    given = {"provider": "google", "model": "gemini-3.1-pro", "rules_version": version.number}
    book(
        *(call(**given, rule="by-alias", route_reason="rule") for _ in range(3)),
        call(**given, rule="default", route_reason="default"),
        call(**{**given, "rules_version": version.number + 1}, rule="all", route_reason="rule"),
    )

    shown = page_of.one(
        use_case=support, organisation=Organisation.objects.get(pk=1), at=timezone.now(), with_rules=True
    )

    (found,) = shown.rules
    assert [(one.place, one.requests, one.share) for one in found.applies] == [
        (2, 3, Decimal("0.75")),
        (3, 0, Decimal(0)),
        (0, 1, Decimal("0.25")),
    ]
    assert (found.decided, found.others) == (4, 1)


def test_what_is_unpriced_is_not_told_as_free(client):
    book(call(provider="nobody", model="unheard-of"))
    signed_in(client, "viewer")

    content = page(client)

    assert ">unpriced<" in content
    assert "tokens unpriced" in content
    assert "waiting for an owner" in content


def test_names_from_outside_are_text_and_lead_to_their_pages(client):
    making.make_priced_offering()
    book(call(use_case=HOSTILE, context={"task": HOSTILE}, requested_model=HOSTILE))
    signed_in(client, "viewer")

    for content in (client.get("/use-cases/").content.decode(), page(client, HOSTILE)):
        assert HOSTILE not in content
        assert "&lt;script&gt;" in content
    assert HOSTILE not in use_case_link(HOSTILE)
    found = client.get(reverse("use-case-named"), {"name": f" {HOSTILE.upper()} "})
    assert found["Location"] == reverse("use-case", args=[UseCase.objects.get(name=HOSTILE).pk])
    assert client.get(reverse("use-case-named"), {"name": "nobody's"}).status_code == 404
    assert client.get(reverse("use-case-named"), {"name": "\0"}).status_code == 404
    assert client.get("/use-cases/999999/").status_code == 404


def test_a_link_leads_by_id_where_it_is_known_and_only_for_kinds_that_have_pages():
    assert use_case_link("a b", 7) == '<a class="tk-break" href="/use-cases/7/">a b</a>'
    assert label_link("use_case", "a b") == '<a class="tk-break" href="/use-cases/named/?name=a+b">a b</a>'
    assert label_link("model", "qwen/qwen-3") == '<a class="tk-break" href="/models/qwen~qwen-3/">qwen/qwen-3</a>'
    assert label_link("model", "not a name") == "not a name"
    assert label_link("tier", "frontier") == "frontier"


def test_one_that_was_merged_says_so_and_is_found_by_its_name_only(client):
    old, new = claimed("old"), claimed("new")
    use_cases.merge(use_case=old, into=new, since_at=timezone.now(), by="tests", at=timezone.now())
    signed_in(client, "admin")

    content = page(client, "old")

    assert f'Its name means <a href="/use-cases/{new.pk}/">new</a> now' in content
    assert "old" not in names()
    assert names(words=["old"]) == ["new", "old"]  # the one it means, by its label, and then itself
    assert client.get(reverse("use-case-edit", args=[old.pk])).status_code == 404


def test_changing_a_use_case_shows_first_what_it_does_to_the_past(client):
    making.make_priced_offering()
    support = claimed("support-routing", owner="lena@example.com", team=make_team("care"))
    make_team("sales")
    book(call(usd=10, at=timezone.now() - timedelta(days=3)), at=timezone.now())
    signed_in(client, "finance")
    url = reverse("use-case-edit", args=[support.pk])
    given = {
        "title": "Sells", "owner": "lena@example.com", "data_class": "", "team": "sales", "reason": "reorganised",
        "since": (timezone.localdate() - timedelta(days=4)).isoformat(),
    }  # fmt: skip

    asked = client.post(url, given)

    support.refresh_from_db()
    assert support.title == ""
    assert "1 event" in asked.content.decode()

    done = client.post(url, {**given, "confirm": asked.context["confirm"]})

    support.refresh_from_db()
    assert done["Location"] == reverse("use-case", args=[support.pk])
    assert support.title == "Sells"
    held = UseCaseTeam.objects.get(use_case=support, valid__contains=timezone.now())
    assert held.team.name == "sales"
    trail = AuditEntry.objects.filter(table="catalog_usecase", row=str(support.pk)).latest("id")
    assert (trail.actor, trail.reason) == ("finance@example.com", "reorganised")


def test_what_stays_as_it_is_is_not_written_anew(client):
    support = claimed("support-routing", owner="lena@example.com", team=make_team("care"))
    before = list(UseCaseTeam.objects.filter(use_case=support).values_list("pk", "valid"))
    signed_in(client, "finance")
    url = reverse("use-case-edit", args=[support.pk])
    given = {**client.get(url).context["form"].initial, "owner": "omar@example.com", "reason": ""}

    client.post(url, {**given, "confirm": client.post(url, given).context["confirm"]})

    support.refresh_from_db()
    assert support.owner == "omar@example.com"
    assert list(UseCaseTeam.objects.filter(use_case=support).values_list("pk", "valid")) == before


def test_who_may_not_change_the_catalogue_is_not_offered_it_and_cannot(client):
    support = claimed("support-routing")
    client.force_login(make_user("viewer"))
    url = reverse("use-case-edit", args=[support.pk])

    assert url not in page(client)
    assert client.post(url, {"title": "x"}).status_code == 403
    assert client.get(reverse("use-case-edit", args=[1])).status_code == 403
