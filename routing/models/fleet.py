"""The gateways that run rules, as their polls tell."""

from __future__ import annotations

from django.db import models

from catalog.models import Gateway


class GatewayPoll(models.Model):
    """What an instance of a gateway last asked for and was given; written when it differs and once a minute."""

    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="polls")
    environment = models.CharField(max_length=64)
    instance = models.CharField(max_length=128, blank=True)  # empty: it names none
    # What it runs, by its own word (`active`, else If-None-Match); null where it has nothing yet.
    version = models.PositiveIntegerField(null=True)
    revision = models.PositiveBigIntegerField(null=True)
    # What it was given, or told it has already.
    given_version = models.PositiveIntegerField(null=True)
    given_revision = models.PositiveBigIntegerField(null=True)
    polled_at = models.DateTimeField()
    # What it refused to run, and why, by its own word; null and empty where it refuses nothing.
    rejected_version = models.PositiveIntegerField(null=True)
    rejected_revision = models.PositiveBigIntegerField(null=True)
    rejected_reason = models.CharField(max_length=300, blank=True, db_default="")
    spec = models.PositiveSmallIntegerField(null=True)  # the newest specification that it understands; null: unsaid
    # The longest pause between two polls of late; 0 where its polls wait, null where that is not known yet.
    pause_ms = models.PositiveIntegerField(null=True)
    client = models.CharField(max_length=64, blank=True, db_default="")  # what asks, such as tollkeeper-python/1.0

    class Meta:
        constraints = [
            models.UniqueConstraint(name="routing_gatewaypoll_once", fields=["gateway", "environment", "instance"]),
        ]
        indexes = [models.Index(name="routing_gatewaypoll_heard", fields=["polled_at"])]  # what to forget

    def __str__(self) -> str:
        return f"#{self.pk}"
