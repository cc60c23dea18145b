"""Alerts of every kind, the channels they go to, and the outbox of deliveries."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from core import secrets
from core.triggers import audited


class Severity(models.IntegerChoices):
    INFO = 10, "info"
    WARNING = 20, "warning"
    CRITICAL = 30, "critical"


class AlertState(models.TextChoices):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class DeliveryState(models.TextChoices):
    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    NOT_SENT = "not_sent"  # decided, with a reason such as "past period"


class Digest(models.TextChoices):
    DAILY = "daily", "daily"
    WEEKLY = "weekly", "weekly"


class Channel(models.Model):
    """Where alerts go. What must stay secret (a webhook's address is a secret) is encrypted in `secret`."""

    name = models.CharField(max_length=128)
    kind = models.CharField(max_length=32)  # a key of the registry in `alerts/channels/`
    config = models.JSONField(default=dict, blank=True)
    secret = models.BinaryField(null=True)
    enabled = models.BooleanField(default=True)
    # Which alerts: empty means all.
    teams = ArrayField(models.BigIntegerField(), default=list, blank=True)
    budgets = ArrayField(models.BigIntegerField(), default=list, blank=True)
    kinds = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    least_severity = models.SmallIntegerField(choices=Severity.choices, default=Severity.INFO)
    # Beside alerts: digests, at an hour of the organisation's zone, and the canary that shows that alerts go out.
    digests = ArrayField(models.CharField(max_length=8, choices=Digest.choices), default=list, blank=True)
    digest_hour = models.PositiveSmallIntegerField(default=8)
    canary = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="alerts_channel_name_once", fields=["name"], condition=Q(retired_at__isnull=True)
            ),
            models.CheckConstraint(
                name="alerts_channel_digests_known", condition=Q(digests__contained_by=list(Digest.values))
            ),
            models.CheckConstraint(name="alerts_channel_digest_hour", condition=Q(digest_hour__lte=23)),
        ]
        triggers = [audited()]

    def __str__(self) -> str:
        return self.name


secrets.kept_in(Channel, "secret")


class Alert(models.Model):
    """Something a person should know, told once per dedupe key."""

    kind = models.CharField(max_length=32)  # budget_crossing, silent_gateway, ...
    dedupe_key = models.CharField(max_length=200)
    severity = models.SmallIntegerField(choices=Severity.choices)
    state = models.CharField(max_length=16, choices=AlertState.choices, default=AlertState.OPEN)
    title = models.CharField(max_length=300)
    # What happened in words and figures, ready for any channel: see alerts/README.md.
    facts = models.JSONField(default=dict)
    subject_kind = models.CharField(max_length=32)
    subject_id = models.BigIntegerField(null=True)
    team_ids = ArrayField(models.BigIntegerField(), default=list)
    budget_id = models.BigIntegerField(null=True)  # an identifier: this floor does not know budgets
    created_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=254, blank=True)
    snoozed_until = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="alerts_alert_once", fields=["dedupe_key"]),
            models.CheckConstraint(name="alerts_alert_state_known", condition=Q(state__in=AlertState.values)),
            models.CheckConstraint(
                name="alerts_alert_acknowledged_whole",
                condition=~Q(state=AlertState.ACKNOWLEDGED) | Q(acknowledged_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="alerts_alert_newest", fields=["-created_at", "-id"]),
            models.Index(name="alerts_alert_open", fields=["-id"], condition=Q(state="open")),
        ]
        triggers = [audited()]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"


class AlertComment(models.Model):
    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="comments")
    at = models.DateTimeField()
    by = models.CharField(max_length=254)
    text = models.TextField()

    def __str__(self) -> str:
        return f"#{self.pk}"


class Delivery(models.Model):
    """One alert to one channel: the outbox. Without a channel it has failed with the reason `no-channel`."""

    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.ForeignKey(Channel, null=True, on_delete=models.PROTECT, related_name="deliveries")
    idempotency_key = models.UUIDField()
    state = models.CharField(max_length=16, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    reason = models.CharField(max_length=200, blank=True)  # of failed and not_sent; the last error while waiting
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)  # while sending; past it the attempt counts as lost
    # Set when an attempt was lost or its answer never came: the next message says "possibly repeated".
    possibly_repeated = models.BooleanField(default=False)
    delivered_at = models.DateTimeField(null=True)
    asked_again_at = models.DateTimeField(null=True)  # somebody had a failed one tried again: its day begins anew
    answer = models.CharField(max_length=500, blank=True)  # of the far side, cut short, never a secret

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(name="alerts_delivery_once", fields=["alert", "channel"], nulls_distinct=False),
            models.UniqueConstraint(name="alerts_delivery_key_once", fields=["idempotency_key"]),
            models.CheckConstraint(name="alerts_delivery_state_known", condition=Q(state__in=DeliveryState.values)),
            models.CheckConstraint(
                name="alerts_delivery_delivered_whole",
                condition=Q(state=DeliveryState.DELIVERED, delivered_at__isnull=False)
                | (~Q(state=DeliveryState.DELIVERED) & Q(delivered_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="alerts_delivery_failure_has_reason",
                condition=~Q(state__in=["failed", "not_sent"]) | ~Q(reason=""),
            ),
            models.CheckConstraint(
                name="alerts_delivery_sending_is_leased",
                condition=~Q(state=DeliveryState.SENDING) | Q(leased_until__isnull=False),
            ),
        ]
        indexes = [
            # The sweep: what is due, and what was claimed by a process that died.
            models.Index(name="alerts_delivery_due", fields=["due_at"], condition=Q(state__in=["waiting", "sending"])),
            # The channels' pages: what became of a channel's last deliveries.
            models.Index(name="alerts_delivery_of_channel", fields=["channel", "-id"]),
            # What was not delivered lately stands on several pages.
            models.Index(name="alerts_delivery_failed", fields=["-id"], condition=Q(state="failed")),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.state}"
