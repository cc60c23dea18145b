"""Rules on their way to a version: proposals, who contributed, who approved."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q

from core.triggers import append_only, audited, no_truncate
from routing.models.versions import Environment


class ProposalState(models.TextChoices):
    DRAFT = "draft"
    IN_REVIEW = "in_review", "in review"
    APPROVED = "approved"
    PUBLISHED = "published"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Proposal(models.Model):
    """A set of rules on its way to a version. It carries the version it started from; a version carries no state."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="proposals")
    base_version = models.PositiveIntegerField(null=True)  # null: the environment had none
    title = models.CharField(max_length=200)
    content = models.JSONField()  # rules, default, offerings
    # Counts saves: whoever saves says which save she edited, so that two people do not undo each other unseen.
    saves = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=16, choices=ProposalState.choices, default=ProposalState.DRAFT)
    sha256 = models.BinaryField(max_length=32, null=True)  # of the canonical bytes, from submission on
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254)
    submitted_at = models.DateTimeField(null=True)
    submitted_by = models.CharField(max_length=254, blank=True)
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=254, blank=True)
    settled_why = models.TextField(blank=True)
    version = models.PositiveIntegerField(null=True)  # what it was published as

    class Meta:
        constraints = [
            models.CheckConstraint(name="routing_proposal_state_known", condition=Q(state__in=ProposalState.values)),
            models.CheckConstraint(
                name="routing_proposal_frozen_has_hash",
                condition=~Q(state__in=["in_review", "approved", "published"]) | Q(sha256__isnull=False),
            ),
            models.CheckConstraint(
                name="routing_proposal_published_has_version",
                condition=Q(state="published", version__isnull=False)
                | (~Q(state="published") & Q(version__isnull=True)),
            ),
        ]
        indexes = [models.Index(name="routing_proposal_newest", fields=["environment", "-id"])]  # the list of proposals
        triggers = [
            audited(),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            no_truncate("routing_proposal_all"),
            # What was submitted is what is approved and published: content moves in a draft only, and what is settled
            # stays so.
            pgtrigger.Trigger(
                name="routing_proposal_frozen",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func="""
                IF OLD.state IN ('published', 'rejected', 'withdrawn') THEN
                    RAISE EXCEPTION 'UPDATE of % is refused: this proposal is settled', TG_TABLE_NAME
                        USING ERRCODE = 'restrict_violation';
                END IF;
                IF NEW.content IS DISTINCT FROM OLD.content AND NEW.state <> 'draft'
                   OR NEW.environment_id <> OLD.environment_id
                   OR NEW.base_version IS DISTINCT FROM OLD.base_version AND NEW.state <> 'draft' THEN
                    RAISE EXCEPTION 'UPDATE of % is refused: only a draft is edited', TG_TABLE_NAME
                        USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"


class Contribution(models.Model):
    """Who had a hand in a proposal's content: whoever did cannot approve it."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="contributions")
    by = models.CharField(max_length=254)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(name="routing_contribution_once", fields=["proposal", "by"])]
        triggers = append_only("routing_contribution")

    def __str__(self) -> str:
        return f"#{self.pk}"


class Approval(models.Model):
    """Somebody's yes to exactly these bytes; another content needs another one."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="approvals")
    sha256 = models.BinaryField(max_length=32)
    by = models.CharField(max_length=254)
    at = models.DateTimeField()
    comment = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="routing_approval_once", fields=["proposal", "sha256", "by"])]
        triggers = [
            *append_only("routing_approval"),
            pgtrigger.Trigger(
                name="routing_approval_by_another",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func="""
                IF (SELECT separation_of_duties FROM core_organisation WHERE id = 1) AND EXISTS (
                    SELECT FROM routing_contribution WHERE proposal_id = NEW.proposal_id AND "by" = NEW."by"
                ) THEN
                    RAISE EXCEPTION 'INSERT into % is refused: whoever contributed cannot approve', TG_TABLE_NAME
                        USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class ScheduleState(models.TextChoices):
    WAITING = "waiting"
    PUBLISHED = "published"
    SUSPENDED = "suspended"  # its moment came and it could not be published; a notice says why
    CANCELLED = "cancelled"


class Schedule(models.Model):
    """The moment at which an approved proposal is to be published; what is due is found by asking for it."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="schedules")
    publish_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=ScheduleState.choices, default=ScheduleState.WAITING)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=254)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=254, blank=True)  # who cancelled it, or had it published by hand
    why = models.TextField(blank=True)  # it was suspended or cancelled

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="routing_schedule_one_waits", fields=["proposal"], condition=Q(state=ScheduleState.WAITING)
            ),
            models.CheckConstraint(name="routing_schedule_state_known", condition=Q(state__in=ScheduleState.values)),
            models.CheckConstraint(
                name="routing_schedule_ended_or_waits",
                condition=Q(state=ScheduleState.WAITING, ended_at__isnull=True)
                | ~Q(state=ScheduleState.WAITING) & Q(ended_at__isnull=False),
            ),
        ]
        indexes = [
            # What is due.
            models.Index(name="routing_schedule_due", fields=["publish_at"], condition=Q(state=ScheduleState.WAITING)),
        ]
        triggers = [
            audited(),
            pgtrigger.Protect(name="kept", operation=pgtrigger.Delete),
            no_truncate("routing_schedule_all"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.publish_at:%Y-%m-%d %H:%M}"
