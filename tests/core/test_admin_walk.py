"""Every page of the admin that could write: either it is refused, or a service writes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import include, path

from alerts.services import raising
from budgets.models import Counter, CounterDelta, Crossing, LimitRequest, Outlook
from catalog.models import (
    Amendment,
    Contract,
    Gateway,
    HourWindow,
    Provider,
    TeamAlias,
    UseCase,
    UseCaseAlias,
    UseCaseTeam,
)
from core.administration import HOUSE, Served, Shown
from core.models import ApiKey, Job, User
from dashboards.models import SavedView
from routing.models import GatewayPoll, Order, Proposal, Schedule, Switch
from routing.services import switches
from tests.catalog.importing import propose, quote
from tests.core.admin_walk import writes_of
from tests.dashboards.seeing import book, call
from tests.factories import NOON, make_budget, make_key, make_team, make_use_case
from tests.routing.making import OPUS, make_draft, make_version, stock
from tests.usage import making
from usage.models import (
    Correction,
    DroppedPartition,
    HeldEvent,
    ImportPart,
    Month,
    ProviderStatement,
    Rebuild,
    Receipt,
    Reconciliation,
    Restatement,
    Source,
    StatementFile,
    UsageImport,
)

pytestmark = pytest.mark.django_db(transaction=True)

# Rows of these are made by months of work; that nothing is added is shown for them, not that nothing is changed.
WITHOUT_ROWS = {"alerts.AlertComment", "alerts.Delivery", "usage.Rate", "usage.RequestContext", "catalog.Alias"}


def fill_in() -> None:
    """Put at least one row into nearly every table."""
    from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

    always = DateTimeTZRange(NOON, None)
    stock()
    making.make_priced_offering()
    make_key("read")
    make_version()
    make_draft(title="waits")
    waiting = Proposal.objects.get(title="waits")
    Schedule.objects.create(proposal=waiting, publish_at=NOON, made_at=NOON, made_by="b")
    Order.objects.create(
        environment=waiting.environment, rule="default", order=[OPUS], scores={}, computed_at=NOON, moved_at=NOON
    )
    switches.turn(kind="offering", name=OPUS, off=True, seconds=60, reason="test", by="lead@example.com", at=NOON)
    book(call(at=NOON))
    budget = make_budget(unit="usd", amount=Decimal(1), scope={}, at=NOON - timedelta(days=1))
    alert = raising.raise_alert(
        kind="test", dedupe_key="test", severity=20, title="Look", subject_kind="test", subject_id=None, team_ids=[],
        budget_id=None, facts={"summary": "Look."}, at=NOON,
    )  # fmt: skip
    counter = Counter.objects.get_or_create(
        budget=budget, period_start=NOON, defaults={"period_end": NOON + timedelta(days=1)}
    )[0]
    CounterDelta.objects.create(counter=counter, used=1, unclassified=0, transaction="1")
    LimitRequest.objects.create(budget=budget, amount=2, reason="r", requested_by="b", requested_at=NOON)
    Outlook.objects.create(budget=budget, looked_at=NOON, period_start=NOON)
    from alerts.models import Alert, Channel

    Crossing.objects.create(
        budget=budget, period_start=NOON, period_end=NOON + timedelta(days=1), basis="actual", threshold=70,
        limit=budget.limits.get(), used=1, crossed_at=NOON, alert=alert or Alert.objects.first(),
    )  # fmt: skip
    Channel.objects.create(name="a channel", kind="webhook", secret=b"https://secret.example", created_at=NOON)
    provider, gateway = Provider.objects.first(), Gateway.objects.first()
    Contract.objects.create(name="c", provider=provider, discount_percent=5, valid=always, recorded=always)
    HourWindow.objects.create(name="night", starts="22:00", ends="06:00")
    Amendment.objects.create(kind="prices", summary="1 price", by="finance@example.com", at=NOON)
    propose(quote(of="large-1@acme"))
    use_case, team = make_use_case("invoices"), make_team("finance")
    UseCaseTeam.objects.create(use_case=use_case, team=team, valid=always)
    UseCaseAlias.objects.create(use_case=use_case, folded="invoice", valid=always)
    TeamAlias.objects.create(team=team, folded="fin", valid=always)
    GatewayPoll.objects.create(gateway=gateway, environment="production", polled_at=NOON)
    Job.objects.create(kind="spend", run_after=NOON, created_at=NOON)
    Correction.objects.create(amendment_id=1, job_id=1, taken_up_at=NOON)
    Restatement.objects.create(kind="test", reason="r", by="b", at=NOON, subject={}, before={}, after={})
    Month.objects.create(
        label=NOON.date().replace(month=1, day=1), starts_at=NOON - timedelta(days=160),
        ends_at=NOON - timedelta(days=130), zone="UTC", closed_at=NOON, closed_by="finance@example.com",
    )  # fmt: skip
    HeldEvent.objects.create(
        receipt=Receipt.objects.first(), source=Source.objects.first(), reason="conflict", event_id="e", event={},
        occurred_at=NOON, content=b"0" * 16, held_at=NOON,
    )  # fmt: skip
    brought = UsageImport.objects.create(
        gateway=gateway, format="csv", file_name="calls.csv", sha256=b"0" * 32, started_at=NOON, started_by="b"
    )
    ImportPart.objects.create(usage_import=brought, number=0, event_count=0)
    statement = StatementFile.objects.create(
        format="openai-usage", file_name="usage.json", sha256=b"0" * 32, first_day=NOON.date(), last_day=NOON.date(),
        lines=1, imported_at=NOON, imported_by="b",
    )  # fmt: skip
    ProviderStatement.objects.create(file=statement, day=NOON.date(), provider="openai")
    days = {"first_day": NOON.date(), "last_day": NOON.date(), "by": "b"}
    Reconciliation.objects.create(**days, full=False, started_at=NOON)
    Rebuild.objects.create(**days, asked_at=NOON, reason="r")
    SavedView.objects.create(
        page="spend", name="ours", query="by=team", owner=User.objects.create_user("saver@example.com"), changed_at=NOON
    )
    DroppedPartition.objects.create(
        table="ledger", month=NOON.date().replace(day=1), rows=0, dropped_at=NOON, by="b", keep_ledger_months=12
    )


def superuser() -> User:
    return User.objects.create_superuser("root@example.com")


def test_no_page_of_the_admin_writes_past_a_service(client):
    fill_in()
    person = superuser()
    client.force_login(person)

    found = list(writes_of(admin.site, client, person))

    assert [str(one) for one in found] == []
    assert not LogEntry.objects.exists()
    empty = {model._meta.label for model in admin.site._registry if not model._default_manager.exists()}
    assert empty <= WITHOUT_ROWS, "put a row into these, or nothing is shown for them"


class Addresses:
    """An admin of its own under /admin/, with what its pages lead to."""

    def __init__(self, site: admin.AdminSite) -> None:
        self.urlpatterns = [path("admin/", site.urls), path("", include("controlplane.urls"))]


@pytest.mark.parametrize("model", [UseCase, Gateway, Group])
def test_the_walk_finds_a_plainly_registered_model(client, model):
    fill_in()
    Group.objects.create(name="a group")
    person = superuser()
    client.force_login(person)
    plain = admin.AdminSite()
    plain.register(model)

    with override_settings(ROOT_URLCONF=Addresses(plain)):
        found = {one.what.split(" wrote")[0] for one in writes_of(plain, client, person)}

    assert "is neither Shown nor Served" in found
    assert found & {"add", "change"}, "a plain form writes"
    assert model is not Group or found >= {"add", "change", "delete_selected"}


def test_the_walk_finds_pages_that_say_they_are_served_and_are_not(client):
    fill_in()
    person = superuser()
    client.force_login(person)
    site = admin.AdminSite()

    class Pretends(Served):
        fields = ("name", "title", "owner", "data_class")
        has_add_permission = has_change_permission = has_delete_permission = lambda *args, **kwargs: True
        changeform_view = admin.ModelAdmin.changeform_view
        save_form = admin.ModelAdmin.save_form
        save_model = admin.ModelAdmin.save_model
        save_related = admin.ModelAdmin.save_related
        log_addition = log_change = lambda *args: None

        def get_readonly_fields(self, request, obj=None):
            return []

    site.register(UseCase, Pretends)

    with override_settings(ROOT_URLCONF=Addresses(site)):
        found = [str(one) for one in writes_of(site, client, person)]

    assert any("change wrote catalog_revision, catalog_usecase past the services" in one for one in found), found
    assert any("save_model writes with the ORM" in one for one in found), found


def test_pages_that_would_write_with_the_orm_are_not_taken():
    with pytest.raises(ImproperlyConfigured, match="Shown or Served"):
        admin.site.register(User)
    with pytest.raises(ImproperlyConfigured, match="Shown or Served"):
        admin.site.register(ApiKey, admin.ModelAdmin)


def test_every_model_of_the_house_that_can_be_shown_is_and_no_others_are():
    known = {model for model in apps.get_models() if model._meta.app_label in HOUSE and not model._meta.is_composite_pk}

    assert set(admin.site._registry) == known
    assert all(isinstance(pages, Shown) for pages in admin.site._registry.values())
    assert {model for model, pages in admin.site._registry.items() if isinstance(pages, Served)} == {
        Proposal, Switch, apps.get_model("routing.Version"),
    }  # fmt: skip
