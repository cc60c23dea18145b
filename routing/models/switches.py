"""Switches: what is off or on everywhere for a while."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.triggers import append_only


class SwitchKind(models.TextChoices):
    PROVIDER = "provider"
    MODEL = "model"
    OFFERING = "offering"


class Switch(models.Model):
    """A provider, model or offering turned off (or on again) everywhere until an instant; the latest row counts."""

    kind = models.CharField(max_length=8, choices=SwitchKind.choices)
    name = models.CharField(max_length=193)
    off = models.BooleanField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    reason = models.CharField(max_length=200)
    by = models.CharField(max_length=254)

    class Meta:
        verbose_name_plural = "switches"
        constraints = [
            models.CheckConstraint(name="routing_switch_kind_known", condition=Q(kind__in=SwitchKind.values)),
            models.CheckConstraint(name="routing_switch_ordered", condition=Q(since__lte=F("until"))),
        ]
        indexes = [models.Index(name="routing_switch_latest", fields=["kind", "name", "-id"])]  # what holds
        triggers = append_only("routing_switch")

    def __str__(self) -> str:
        return f"#{self.pk} {self.name} {'off' if self.off else 'on'}"
