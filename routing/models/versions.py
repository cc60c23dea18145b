"""Environments, the versions published there, and the state that gateways are held to besides."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Func, Q

from catalog.models import NAME
from core.triggers import append_only, audited, no_truncate


def tells_servers() -> pgtrigger.Trigger:
    """Wake whoever serves rules once the change has committed; a lost word costs them a second, not the change."""
    return pgtrigger.Trigger(
        name="tells_servers",
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        func="NOTIFY tollkeeper_rules; RETURN NULL;",
    )


class Environment(models.Model):
    """Where rules are in force. The pointer moves by compare-and-swap only."""

    name = models.CharField(max_length=64, validators=[NAME])
    live_version = models.PositiveIntegerField(null=True)
    state_revision = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(name="routing_environment_once", fields=["name"])]
        triggers = [
            audited(),
            tells_servers(),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            no_truncate("routing_environment_all"),
            # Whatever moves the pointer, a stale draft or a hand in psql: it only goes forward, to a version there is.
            pgtrigger.Trigger(
                name="routing_environment_forward",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func="""
                IF NEW.name IS DISTINCT FROM OLD.name
                   OR NEW.state_revision < OLD.state_revision
                   OR COALESCE(NEW.live_version, 0) < COALESCE(OLD.live_version, 0) THEN
                    RAISE EXCEPTION 'UPDATE of % is refused: the pointer of an environment only goes forward',
                        TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
                END IF;
                IF NEW.live_version IS DISTINCT FROM OLD.live_version AND NOT EXISTS (
                    SELECT FROM routing_version
                     WHERE environment_id = NEW.id AND number = NEW.live_version
                       AND base IS NOT DISTINCT FROM OLD.live_version
                ) THEN
                    RAISE EXCEPTION 'UPDATE of % is refused: the next version has to be made from the one in force',
                        TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
                """,
            ),
        ]

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
    rolls_back_to = models.PositiveIntegerField(null=True)  # whose content this is, where somebody went back
    title = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="routing_version_once", fields=["environment", "number"]),
            models.CheckConstraint(name="routing_version_numbered_from_1", condition=Q(number__gte=1)),
            models.CheckConstraint(
                name="routing_version_after_its_base", condition=Q(base__isnull=True) | Q(base__lt=F("number"))
            ),
            models.CheckConstraint(
                name="routing_version_hash_is_of_its_bytes",
                condition=Q(sha256=Func(F("canonical"), function="sha256", output_field=models.BinaryField())),
            ),
            models.CheckConstraint(
                name="routing_version_approved_or_back",
                condition=Q(rolls_back_to__isnull=True) & ~Q(approved_by="")
                | Q(rolls_back_to__isnull=False, rolls_back_to__lt=F("number")) & ~Q(reason=""),
            ),
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
