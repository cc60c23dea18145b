"""Budgets, the versions of their limits, counters per period, crossings."""

from __future__ import annotations

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from alerts.models import Alert
from core.models import check_zone
from core.money import QUANTITY
from core.triggers import append_only, audited

# What a scope may name. Values are names as the catalogue has them; `tag:NAME` is allowed besides.
DIMENSIONS = ("use_case", "team", "model", "offering", "provider", "tier", "gateway")


class Unit(models.TextChoices):
    FRONTIER_TOKENS = "frontier_tokens", "frontier tokens"
    TOKENS = "tokens", "tokens"
    USD = "usd", "USD"
    REQUESTS = "requests", "requests"


class PeriodKind(models.TextChoices):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Action(models.TextChoices):
    """What gateways do once the budget is exceeded."""

    ALERT = "alert", "alert only"
    DOWNGRADE = "downgrade", "downgrade"
    BLOCK = "block", "block"


class Basis(models.TextChoices):
    ACTUAL = "actual", "actual use"
    FORECAST = "forecast", "forecast"
    MAY_HAVE = "may_have", "actual use with unclassified tokens"


class Change(models.Model):
    """One row that tells other processes that budgets changed: booking looks at `definitions`, the publisher at all.

    `next_at` is the next instant at which time alone changes what gateways are told.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    definitions = models.BigIntegerField(default=0)
    states = models.BigIntegerField(default=0)
    next_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(name="budgets_change_is_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"{self.definitions}/{self.states}"


def changes_definitions() -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name="moves_definitions",
        when=pgtrigger.After,
        level=pgtrigger.Statement,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        func="UPDATE budgets_change SET definitions = definitions + 1, states = states + 1; RETURN NULL;",
    )


class Budget(models.Model):
    """What a scope may consume in each period, counted in one unit; limits are versions of their own."""

    name = models.CharField(max_length=128)
    # A conjunction: {"use_case": ["support-routing"], "tier": ["frontier"]}; {} is the whole organisation.
    scope = models.JSONField(default=dict)
    unit = models.CharField(max_length=16, choices=Unit.choices)
    period = models.CharField(max_length=8, choices=PeriodKind.choices, default=PeriodKind.MONTH)
    zone = models.CharField(max_length=64, validators=[check_zone])
    fiscal_start_month = models.PositiveSmallIntegerField(default=1)
    action = models.CharField(max_length=16, choices=Action.choices, default=Action.ALERT)
    trial = models.BooleanField(default=False)  # says what it would have done, and does nothing
    thresholds = ArrayField(models.PositiveSmallIntegerField(), default=list)  # per cent of actual use
    forecast_thresholds = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True)
    owner = models.CharField(max_length=254, blank=True)
    # The one that is crossed once a day to show that alerts still go out. No booking counts in it, no list shows it.
    canary = models.BooleanField(db_default=False, default=False)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="budgets_budget_name_once", fields=["name"], condition=Q(retired_at__isnull=True)
            ),
            models.UniqueConstraint(name="budgets_budget_one_canary", fields=["canary"], condition=Q(canary=True)),
            models.CheckConstraint(name="budgets_budget_unit_known", condition=Q(unit__in=Unit.values)),
            models.CheckConstraint(name="budgets_budget_period_known", condition=Q(period__in=PeriodKind.values)),
            models.CheckConstraint(name="budgets_budget_action_known", condition=Q(action__in=Action.values)),
            models.CheckConstraint(
                name="budgets_budget_fiscal_month",
                condition=Q(fiscal_start_month__gte=1, fiscal_start_month__lte=12),
            ),
            models.CheckConstraint(name="budgets_budget_has_thresholds", condition=Q(thresholds__len__gte=1)),
        ]
        triggers = [audited(), changes_definitions()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.name}"


class BudgetLimit(models.Model):
    """One version of a budget's limit, in force over a time; the highest version in force wins.

    A raised limit may be crossed anew: its version is part of a crossing's key.
    """

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="limits")
    version = models.PositiveIntegerField()
    amount = models.DecimalField(**QUANTITY)
    starts_at = models.DateTimeField(null=True)  # null: since it was set
    ends_at = models.DateTimeField(null=True)  # null: until replaced
    reason = models.CharField(max_length=300)
    by = models.CharField(max_length=254)
    approved_by = models.CharField(max_length=254)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="budgets_limit_version_once", fields=["budget", "version"]),
            models.CheckConstraint(name="budgets_limit_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="budgets_limit_times_ordered",
                condition=Q(starts_at__isnull=True) | Q(ends_at__isnull=True) | Q(starts_at__lt=F("ends_at")),
            ),
        ]
        triggers = [audited(), changes_definitions(), *append_only("budgets_limit")]

    def __str__(self) -> str:
        return f"#{self.pk} version {self.version}"


class RequestState(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class LimitRequest(models.Model):
    """Somebody asks for another limit, for a while or until further notice; approved, it becomes a version."""

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="limit_requests")
    amount = models.DecimalField(**QUANTITY)
    starts_at = models.DateTimeField(null=True)  # null: from the approval on
    ends_at = models.DateTimeField(null=True)  # null: until replaced
    reason = models.CharField(max_length=300)
    requested_by = models.CharField(max_length=254)
    requested_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=RequestState.choices, default=RequestState.PENDING)
    decided_by = models.CharField(max_length=254, blank=True)
    decided_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=300, blank=True)  # of whoever decided
    limit = models.OneToOneField(BudgetLimit, null=True, on_delete=models.PROTECT, related_name="request")

    class Meta:
        constraints = [
            models.CheckConstraint(name="budgets_request_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="budgets_request_state_known", condition=Q(state__in=RequestState.values)),
            models.CheckConstraint(
                name="budgets_request_times_ordered",
                condition=Q(starts_at__isnull=True) | Q(ends_at__isnull=True) | Q(starts_at__lt=F("ends_at")),
            ),
            models.CheckConstraint(
                name="budgets_request_decided_whole",
                condition=Q(state=RequestState.PENDING, decided_at__isnull=True, decided_by="")
                | (~Q(state=RequestState.PENDING) & Q(decided_at__isnull=False) & ~Q(decided_by="")),
            ),
            models.CheckConstraint(
                name="budgets_request_approved_has_limit",
                condition=Q(state=RequestState.APPROVED, limit__isnull=False)
                | (~Q(state=RequestState.APPROVED) & Q(limit__isnull=True)),
            ),
        ]
        indexes = [models.Index(name="budgets_request_pending", fields=["id"], condition=Q(state="pending"))]
        triggers = [audited()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.state}"


class CounterState(models.TextChoices):
    BUILDING = "building"  # being summed from what was booked before the budget existed
    LIVE = "live"


class Counter(models.Model):
    """What a budget's scope used in one period. The period is part of the key: nothing is ever reset."""

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="counters")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    state = models.CharField(max_length=8, choices=CounterState.choices, default=CounterState.LIVE)
    used = models.DecimalField(**QUANTITY, default=0)
    unclassified = models.DecimalField(**QUANTITY, default=0)  # tokens of offerings without a tier, beside `used`

    class Meta:
        constraints = [
            models.UniqueConstraint(name="budgets_counter_once", fields=["budget", "period_start"]),
            models.CheckConstraint(name="budgets_counter_state_known", condition=Q(state__in=CounterState.values)),
            models.CheckConstraint(
                name="budgets_counter_period_ordered", condition=Q(period_start__lt=F("period_end"))
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class CounterDelta(models.Model):
    """What a booking would have added to a counter that was still being built, and the transaction that did."""

    counter = models.ForeignKey(Counter, on_delete=models.CASCADE, related_name="deltas")
    used = models.DecimalField(**QUANTITY)
    unclassified = models.DecimalField(**QUANTITY)
    transaction = models.CharField(max_length=24)  # pg_current_xact_id(), read as text and cast back

    def __str__(self) -> str:
        return f"#{self.pk}"


class Outlook(models.Model):
    """What a day of a budget is expected to use, by its past, and what its days of eight weeks and the period used.

    Made in the background by whoever knows the past (`usage`); pages, the API and alerts forecast with it and with the
    counter of the moment, so that all say the same.
    """

    budget = models.OneToOneField(Budget, primary_key=True, on_delete=models.CASCADE, related_name="outlook")
    looked_at = models.DateTimeField()
    period_start = models.DateTimeField()
    days = models.JSONField(default=list)  # [["2026-11-01", "12.5"], ...] in the budget's zone and unit
    profile = models.JSONField(default=dict)  # see `budgets.rules.forecasting`

    def __str__(self) -> str:
        return f"#{self.pk}"


class Crossing(models.Model):
    """A threshold was passed: once per budget, period, basis, threshold and limit version."""

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="crossings")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    basis = models.CharField(max_length=8, choices=Basis.choices)
    threshold = models.PositiveSmallIntegerField()  # per cent
    limit = models.ForeignKey(BudgetLimit, on_delete=models.PROTECT)
    used = models.DecimalField(**QUANTITY)  # when it was found
    crossed_at = models.DateTimeField()  # by the clock of the booking
    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="budgets_crossing_once", fields=["budget", "period_start", "basis", "threshold", "limit"]
            ),
        ]
        indexes = [models.Index(name="budgets_crossing_alert", fields=["alert"])]
        triggers = append_only("budgets_crossing")

    def __str__(self) -> str:
        return f"#{self.pk} {self.threshold} %"
