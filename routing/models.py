"""Rules per environment: frozen versions, and the state that gateways hold them to."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q

from catalog.models import NAME
from core.triggers import append_only, audited


class Environment(models.Model):
    """Where rules are in force. The pointer moves by compare-and-swap only."""

    name = models.CharField(max_length=64, validators=[NAME])
    live_version = models.PositiveIntegerField(null=True)
    state_revision = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(name="routing_environment_once", fields=["name"])]
        triggers = [audited(), pgtrigger.Protect(name="kept", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return self.name


class Version(models.Model):
    """A frozen set of rules. Content only: which one is in force is the environment's pointer."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    base = models.PositiveIntegerField(null=True)  # the version it was made from
    spec = models.PositiveSmallIntegerField(default=1)
    canonical = models.BinaryField()  # rules, default and offerings as submitted
    sha256 = models.BinaryField(max_length=32)  # of `canonical`
    published_at = models.DateTimeField()
    published_by = models.CharField(max_length=254)
    approved_by = models.CharField(max_length=254, blank=True)  # empty for a rollback
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="routing_version_once", fields=["environment", "number"]),
            models.CheckConstraint(name="routing_version_numbered_from_1", condition=Q(number__gte=1)),
        ]
        triggers = append_only("routing_version")

    def __str__(self) -> str:
        return f"#{self.pk} version {self.number}"


class StateRevision(models.Model):
    """Budgets' states, switches and orders as served from an instant on, until the next one begins."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="revisions")
    revision = models.PositiveBigIntegerField()
    version = models.PositiveIntegerField(null=True)  # in force at that instant
    holds_from = models.DateTimeField()
    canonical = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="routing_staterevision_once", fields=["environment", "revision"]),
        ]
        indexes = [
            # What a gateway could have known at a moment.
            models.Index(name="routing_staterevision_at", fields=["environment", "holds_from"]),
        ]
        triggers = append_only("routing_staterevision")

    def __str__(self) -> str:
        return f"#{self.pk} revision {self.revision}"
