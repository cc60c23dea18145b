"""Checks of what derives from the ledger, against the ledger."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Reconciliation(models.Model):
    """A recount of the ledger, compared with rollups and counters. Kept whatever it found."""

    first_day = models.DateField()  # of the organisation's
    last_day = models.DateField()  # included
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    job_id = models.BigIntegerField(null=True)
    by = models.CharField(max_length=254)
    entries = models.BigIntegerField(default=0)  # lines of the ledger that were read
    rows = models.BigIntegerField(default=0)  # sums that were compared
    differing = models.BigIntegerField(default=0)
    differences = models.JSONField(default=list)  # the first of them: what, which, held, recounted

    class Meta:
        db_table = "usage_reconciliation"
        constraints = [
            models.CheckConstraint(name="usage_reconciliation_days", condition=Q(first_day__lte=models.F("last_day")))
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.first_day} to {self.last_day}"
