"""The ledger as it is read, and what its entries share or name.

The tables themselves are partitioned and made by SQL in migrations. Whatever is stamped on an entry is an identifier
without a database constraint: the rows they name are never deleted, and a check per entry and column would cost more
than the rest of the booking.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from catalog.models import Gateway, Offering, Team, Tier, UseCase, changes_catalog
from core.models import check_zone
from core.money import COST
from core.triggers import append_only, audited
from usage.models.receipts import Source


class EntryKind(models.IntegerChoices):
    USAGE = 1, "usage"
    REVERSAL = 2, "reversal"
    ADJUSTMENT = 3, "adjustment"


class Status(models.IntegerChoices):
    OK = 1, "ok"
    ERROR = 2, "error"
    BLOCKED = 3, "blocked"
    CACHE_HIT = 4, "cache_hit"
    USAGE_MISSING = 5, "usage_missing"


class Unpriced(models.IntegerChoices):
    """Why an entry has no cost. Zero says it has one."""

    PRICED = 0, "priced"
    NO_PRICE = 1, "no price for the offering"
    METER_WITHOUT_PRICE = 2, "a meter that was used has no price"
    NOT_COUNTED = 3, "the gateway gave no token counts"
    UNKNOWN_CONTEXT = 4, "a service tier or region that has no price"


class Month(models.Model):
    """A month of the organisation's, as the instants it had when it was closed."""

    label = models.DateField()  # its first day
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    zone = models.CharField(max_length=64, validators=[check_zone])
    closed_at = models.DateTimeField()
    closed_by = models.CharField(max_length=254)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="usage_month_closed_once", fields=["label"]),
            models.CheckConstraint(name="usage_month_ordered", condition=Q(starts_at__lt=F("ends_at"))),
            models.CheckConstraint(name="usage_month_over_when_closed", condition=Q(closed_at__gte=F("ends_at"))),
        ]
        triggers = [audited(), changes_catalog(), *append_only("usage_month")]

    def __str__(self) -> str:
        return f"{self.label:%Y-%m}"


class Rate(models.Model):
    """What entries were priced with: one price per meter, interned. Never changes, so an entry can name it."""

    digest = models.BinaryField(max_length=16)
    # {"output": {"price": 17, "usd_per_1m": "30"}, ...}, by meter; "contract" beside them, see interning.content_of
    prices = models.JSONField()
    contract_id = models.BigIntegerField(null=True)
    discount_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True)

    class Meta:
        db_table = "usage_rate"
        constraints = [models.UniqueConstraint(name="usage_rate_once", fields=["digest"])]
        triggers = append_only("usage_rate")

    def __str__(self) -> str:
        return f"#{self.pk}"


class RequestContext(models.Model):
    """A request context as a gateway saw it, interned: replay decides each distinct one once."""

    digest = models.BinaryField(max_length=16)
    content = models.JSONField()

    class Meta:
        db_table = "usage_context"
        constraints = [models.UniqueConstraint(name="usage_context_once", fields=["digest"])]
        triggers = append_only("usage_context")

    def __str__(self) -> str:
        return f"#{self.pk}"


PRICE_ARRIVED = "price_arrived"  # the kind of restatement, and of job, that no amendment asked for


class Restatement(models.Model):
    """Why and by whom the past was booked anew: figures before and after. Written when the work is done."""

    kind = models.CharField(max_length=32)  # price_arrived, price_corrected, merged, ...
    reason = models.TextField()
    by = models.CharField(max_length=254)
    at = models.DateTimeField()
    subject = models.JSONField()
    before = models.JSONField()  # {"entries": 12, "cost_usd": "1.20", "unpriced_tokens": 9000}
    after = models.JSONField()
    job_id = models.BigIntegerField(null=True)

    class Meta:
        triggers = append_only("usage_restatement")

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"


class Correction(models.Model):
    """An amendment of the catalogue that usage has taken up, and the job that restates what it concerns."""

    amendment_id = models.BigIntegerField()  # catalog's; not a foreign key, so that nothing in either holds the other
    job_id = models.BigIntegerField()
    taken_up_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="usage_correction_once", fields=["amendment_id"]),
            models.UniqueConstraint(name="usage_correction_job_once", fields=["job_id"]),
        ]
        triggers = append_only("usage_correction")

    def __str__(self) -> str:
        return f"#{self.pk} of amendment {self.amendment_id}"


class Metered(models.Model):
    """The disjoint meters, in the order of the tables' columns. A reversal carries them negative."""

    uncached_input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    image_input_tokens = models.BigIntegerField(default=0)
    image_output_tokens = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    web_searches = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class Entry(Metered):
    """One line of the ledger: append-only, partitioned by months of `booked_at`, distributed by use case."""

    pk = models.CompositePrimaryKey("use_case", "booked_at", "id")
    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    booked_at = models.DateTimeField()
    id = models.BigIntegerField()
    kind = models.SmallIntegerField(choices=EntryKind.choices)
    occurred_at = models.DateTimeField()
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    gateway = models.ForeignKey(Gateway, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    environment = models.CharField(max_length=64)
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    offering = models.ForeignKey(Offering, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    tier = models.SmallIntegerField(choices=Tier.choices)
    status = models.SmallIntegerField(choices=Status.choices)
    requested_model = models.CharField(max_length=193)
    reasoning_tokens = models.BigIntegerField(null=True)
    counted = models.BooleanField()
    service_tier = models.CharField(max_length=16)
    cost_usd = models.DecimalField(**COST, null=True)
    list_cost_usd = models.DecimalField(**COST, null=True)
    avoided_usd = models.DecimalField(**COST)
    reported_cost_usd = models.DecimalField(**COST, null=True)
    rate_id = models.BigIntegerField(null=True)
    unpriced = models.SmallIntegerField(choices=Unpriced.choices)
    latency_ms = models.IntegerField(null=True)
    task = models.CharField(max_length=64)
    context_id = models.BigIntegerField(null=True)
    sticky_key = models.CharField(max_length=200)
    user_key = models.CharField(max_length=200)
    rules_version = models.IntegerField()
    state_revision = models.BigIntegerField()
    rule = models.CharField(max_length=128)
    reason = models.CharField(max_length=32)
    fallback_index = models.SmallIntegerField()
    call_group = models.CharField(max_length=200)
    tags = models.JSONField(null=True)
    flags = ArrayField(models.CharField(max_length=32), null=True)
    event_id = models.CharField(max_length=200)
    reported_model = models.CharField(max_length=258)
    receipt_id = models.BigIntegerField(null=True)
    corrects_use_case_id = models.BigIntegerField(null=True)
    corrects_booked_at = models.DateTimeField(null=True)
    corrects_id = models.BigIntegerField(null=True)
    correction_of = models.DateField(null=True)
    restatement_id = models.BigIntegerField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.pk}"


class LedgerEntry(Entry):
    """The ledger: the truth that every total derives from."""

    class Meta:
        db_table = "ledger"
        managed = False


class UnsummedEntry(Entry):
    """Shadow and audit entries: the ledger's columns, read by no rollup, counter or total."""

    class Meta:
        db_table = "ledger_unsummed"
        managed = False
