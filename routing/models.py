"""Rules per environment: frozen versions, and the state that gateways hold them to."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Func, Q

from catalog.models import NAME, Gateway
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


class GatewayPoll(models.Model):
    """What an instance of a gateway last asked for and was given; written when it differs and once a minute."""

    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="polls")
    environment = models.CharField(max_length=64)
    instance = models.CharField(max_length=128, blank=True)  # empty: it names none
    # What it has, by its own word (If-None-Match); null where it has nothing yet.
    version = models.PositiveIntegerField(null=True)
    revision = models.PositiveBigIntegerField(null=True)
    # What it was given, or told it has already.
    given_version = models.PositiveIntegerField(null=True)
    given_revision = models.PositiveBigIntegerField(null=True)
    polled_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="routing_gatewaypoll_once", fields=["gateway", "environment", "instance"]),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
