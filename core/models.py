"""People, keys, the organisation, the audit trail and work that outlives a process."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pgtrigger
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from core import periods, secrets
from core.triggers import append_only, audited

ROLES = ("viewer", "finance", "engineer", "approver", "platform", "admin")
SCOPES = ("usage:write", "rules:read", "read", "write", "admin")


def check_zone(name: str) -> None:
    """Accept names of the IANA database only; abbreviations and offsets have no calendar."""
    if name not in periods.zones():
        raise ValidationError(f"{name!r} is not a time zone of the IANA database, such as Europe/Berlin.")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        fields |= {"is_staff": True, "is_superuser": True, "roles": ["admin"]}
        return self.create_user(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in. What she may do follows from her roles (`core/access.py`)."""

    email = models.EmailField(max_length=254, unique=True)  # kept in lower case
    name = models.CharField(max_length=128, blank=True)
    roles = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    zone = models.CharField(max_length=64, blank=True, validators=[check_zone])  # empty: the organisation's
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(db_default=Now())

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="core_user_email_lower", condition=Q(email=Lower("email"))),
            models.CheckConstraint(name="core_user_roles_known", condition=Q(roles__contained_by=list(ROLES))),
        ]
        triggers = [audited()]

    def __str__(self) -> str:
        return self.email


class Organisation(models.Model):
    """Settings of the one organisation that runs here."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    name = models.CharField(max_length=128, default="My organisation")
    zone = models.CharField(max_length=64, default="UTC", validators=[check_zone])
    # Tags that spend can be grouped by at any range; others are answered from the ledger.
    declared_tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    separation_of_duties = models.BooleanField(default=True)
    # Months of the ledger that are kept before the running one; null keeps all. Sums by day stay.
    keep_ledger_months = models.PositiveSmallIntegerField(null=True, blank=True)
    keep_receipts_days = models.PositiveSmallIntegerField(db_default=90)  # then what a booked body held is let go
    # Goals, per cent of answered requests: on the frontier no more than so many, on open weights no fewer.
    frontier_goal_percent = models.DecimalField(max_digits=4, decimal_places=1, db_default=Decimal(10))
    frontier_goal_from_percent = models.DecimalField(max_digits=4, decimal_places=1, db_default=Decimal(5))
    open_weights_goal_percent = models.DecimalField(max_digits=4, decimal_places=1, db_default=Decimal(30))

    class Meta:
        constraints = [
            models.CheckConstraint(name="core_organisation_is_one", condition=Q(id=1)),
            models.CheckConstraint(
                name="core_organisation_keeps_a_year",
                condition=Q(keep_ledger_months__isnull=True) | Q(keep_ledger_months__gte=12),
            ),
            models.CheckConstraint(name="core_organisation_tags_at_most_8", condition=Q(declared_tags__len__lte=8)),
            models.CheckConstraint(
                name="core_organisation_goals_are_shares",
                condition=Q(frontier_goal_from_percent__gte=0)
                & Q(frontier_goal_from_percent__lte=F("frontier_goal_percent"))
                & Q(frontier_goal_percent__lte=100)
                & Q(open_weights_goal_percent__gte=0)
                & Q(open_weights_goal_percent__lte=100),
            ),
        ]
        triggers = [audited(), pgtrigger.Protect(name="kept", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A bearer key. Only a hash is kept: the secret has 256 bits, so a plain SHA-256 cannot be guessed back."""

    name = models.CharField(max_length=128)
    prefix = models.CharField(max_length=12)  # what the console shows
    digest = models.BinaryField(max_length=32)
    secret = models.BinaryField(null=True)  # what S3-style requests are signed with, encrypted; null: none was made
    scopes = ArrayField(models.CharField(max_length=16))
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="core_apikey_digest_once", fields=["digest"]),
            models.CheckConstraint(
                name="core_apikey_scopes_known",
                condition=Q(scopes__contained_by=list(SCOPES)) & Q(scopes__len__gte=1),
            ),
        ]
        triggers = [audited()]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


secrets.kept_in(ApiKey, "secret")


class AuditEntry(models.Model):
    """One change of one row, written by a trigger. Holds identifiers, not foreign keys: it outlives what it names."""

    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=254, blank=True)  # e-mail, `key:NAME` or the process; empty: raw SQL
    reason = models.TextField(blank=True)
    table = models.CharField(max_length=64)
    row = models.CharField(max_length=64)
    operation = models.CharField(max_length=8)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    transaction = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(name="core_audit_row", fields=["table", "row", "-id"]),  # history of one row
            models.Index(name="core_audit_actor", fields=["actor", "-id"]),  # what one person did
        ]
        triggers = append_only("core_audit")

    def __str__(self) -> str:
        return f"#{self.pk} {self.operation} {self.table} {self.row}"


class JobState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(models.Model):
    """Work for the background queue: a row with a lease and a checkpoint, so that a crash loses seconds, not work."""

    kind = models.CharField(max_length=32)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=JobState.choices, default=JobState.WAITING)
    checkpoint = models.JSONField(default=dict)
    done = models.BigIntegerField(default=0)  # of `total`, in the kind's own unit
    total = models.BigIntegerField(null=True)
    result = models.JSONField(null=True)
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)
    run_after = models.DateTimeField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254, blank=True)
    finished_at = models.DateTimeField(null=True)
    # Two requests for the same work while it waits are one job.
    dedupe_key = models.CharField(max_length=128, null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="core_job_state_known", condition=Q(state__in=JobState.values)),
            models.UniqueConstraint(
                name="core_job_waits_once", fields=["dedupe_key"], condition=Q(state=JobState.WAITING)
            ),
        ]
        indexes = [
            # The next job to run.
            models.Index(name="core_job_due", fields=["run_after"], condition=Q(state__in=["waiting", "running"])),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind} {self.state}"
