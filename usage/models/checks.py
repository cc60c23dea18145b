"""Checks of what derives from the ledger, what was made anew from it, and what of it is not kept any more."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.triggers import append_only, audited


class Reconciliation(models.Model):
    """A recount of the ledger, compared with rollups and counters. Kept whatever it found."""

    first_day = models.DateField()  # of the organisation's
    last_day = models.DateField()  # included
    full = models.BooleanField()  # every day that the ledger keeps
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    job_id = models.BigIntegerField(null=True)
    by = models.CharField(max_length=254)
    entries = models.BigIntegerField(default=0)  # lines of the ledger that were read
    rows = models.BigIntegerField(default=0)  # sums that were compared
    differing = models.BigIntegerField(default=0)
    differences = models.JSONField(default=list)  # the first of them: what, which, held, recounted
    # All of them counted: {"2026-11-20": {"rollup_day": 3}}, counters by the first day of their period.
    days = models.JSONField(default=dict)

    class Meta:
        db_table = "usage_reconciliation"
        constraints = [
            models.CheckConstraint(name="usage_reconciliation_days", condition=Q(first_day__lte=F("last_day")))
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.first_day} to {self.last_day}"


class Rebuild(models.Model):
    """Sums of days that somebody had made anew from the ledger: why, and what was wrong with them."""

    first_day = models.DateField()  # of the organisation's
    last_day = models.DateField()  # included
    asked_at = models.DateTimeField()
    by = models.CharField(max_length=254)
    reason = models.CharField(max_length=300)
    job_id = models.BigIntegerField(null=True)
    finished_at = models.DateTimeField(null=True)
    mended = models.JSONField(default=dict)  # rows that were wrong: {"2026-11-20": {"rollup_day": 3}}

    class Meta:
        db_table = "usage_rebuild"
        constraints = [models.CheckConstraint(name="usage_rebuild_days", condition=Q(first_day__lte=F("last_day")))]
        triggers = [audited()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.first_day} to {self.last_day}"


class DroppedPartition(models.Model):
    """A month of the ledger, or of its unsummed twin, that retention dropped whole. Its sums are still there."""

    table = models.CharField(max_length=32)
    month = models.DateField()  # its first day; a UTC month, as partitions are
    rows = models.BigIntegerField()
    dropped_at = models.DateTimeField()
    by = models.CharField(max_length=254)
    keep_ledger_months = models.PositiveSmallIntegerField()  # what the organisation's setting was

    class Meta:
        db_table = "usage_droppedpartition"
        constraints = [
            # The twin's partition of a month may be needed again, for an import that is only audited.
            models.UniqueConstraint(
                name="usage_droppedpartition_ledger_once", fields=["month"], condition=Q(table="ledger")
            ),
        ]
        triggers = [audited(), *append_only("usage_droppedpartition")]

    def __str__(self) -> str:
        return f"{self.table} {self.month:%Y-%m}"
