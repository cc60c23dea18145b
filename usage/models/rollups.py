"""Sums of the ledger, as they are read."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from catalog.models import Gateway, Offering, Team, Tier, UseCase
from core.money import SUM
from usage.models.ledger import Metered, Status

LATENCY_BUCKETS = 16


class Summed(Metered):
    """The measures of a rollup, all sums. A reversal subtracts."""

    reasoning_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(**SUM, default=0)
    list_cost_usd = models.DecimalField(**SUM, default=0)
    avoided_usd = models.DecimalField(**SUM, default=0)
    reported_cost_usd = models.DecimalField(**SUM, default=0)
    compared_cost_usd = models.DecimalField(**SUM, default=0)  # ours, of entries with a cost of both
    compared_list_usd = models.DecimalField(**SUM, default=0)  # ours at list price, which gateways go by
    compared_reported_usd = models.DecimalField(**SUM, default=0)  # the gateways', of the same
    unpriced_tokens = models.BigIntegerField(default=0)
    unpriced_requests = models.BigIntegerField(default=0)
    uncounted_requests = models.BigIntegerField(default=0)
    fallback_requests = models.BigIntegerField(default=0)
    latency_ms = models.BigIntegerField(default=0)
    latency_histogram = ArrayField(models.BigIntegerField(), size=LATENCY_BUCKETS)

    class Meta:
        abstract = True


class Dimensions(models.Model):
    """What rollups can be asked by. Never null: 0 and the empty text say "none"."""

    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    offering = models.ForeignKey(Offering, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    gateway = models.ForeignKey(Gateway, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    tier = models.SmallIntegerField(choices=Tier.choices)
    status = models.SmallIntegerField(choices=Status.choices)
    rules_version = models.IntegerField()
    correction_of = models.IntegerField()  # the closed month as 202610; 0 where it is no correction
    environment = models.CharField(max_length=64)
    rule = models.CharField(max_length=128)
    reason = models.CharField(max_length=32)
    task = models.CharField(max_length=64)
    requested_model = models.CharField(max_length=193)

    class Meta:
        abstract = True


class Rollup15Min(Dimensions, Summed):
    """Sums per UTC quarter hour of `booked_at`; every zone's offset is a multiple of it."""

    pk = models.CompositePrimaryKey(
        "use_case", "bucket", "offering", "team", "gateway", "tier", "status", "rules_version", "correction_of",
        "environment", "rule", "reason", "task", "requested_model",
    )  # fmt: skip
    bucket = models.DateTimeField()

    class Meta:
        db_table = "rollup_15min"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"


class RollupDay(Dimensions, Summed):
    """Sums per day of `booked_at` in the organisation's zone."""

    pk = models.CompositePrimaryKey(
        "use_case", "day", "offering", "team", "gateway", "tier", "status", "rules_version", "correction_of",
        "environment", "rule", "reason", "task", "requested_model",
    )  # fmt: skip
    day = models.DateField()

    class Meta:
        db_table = "rollup_day"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"


class SummedSmall(models.Model):
    """What tag and user rollups keep."""

    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(**SUM, default=0)
    unpriced_tokens = models.BigIntegerField(default=0)
    uncounted_requests = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class RollupDayTag(SummedSmall):
    """Sums per day and value of a declared tag."""

    pk = models.CompositePrimaryKey("use_case", "day", "tag", "value", "offering", "team", "gateway", "tier", "status")
    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    day = models.DateField()
    tag = models.CharField(max_length=64)
    value = models.CharField(max_length=256)
    offering = models.ForeignKey(Offering, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    gateway = models.ForeignKey(Gateway, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    tier = models.SmallIntegerField(choices=Tier.choices)
    status = models.SmallIntegerField(choices=Status.choices)

    class Meta:
        db_table = "rollup_day_tag"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"


class RollupDayUser(SummedSmall):
    """Sums per day and user; folded to the dearest 1000 and the others two days later."""

    pk = models.CompositePrimaryKey("use_case", "day", "user_key")
    use_case = models.ForeignKey(UseCase, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    day = models.DateField()
    user_key = models.CharField(max_length=200)

    class Meta:
        db_table = "rollup_day_user"
        managed = False

    def __str__(self) -> str:
        return f"{self.pk}"
