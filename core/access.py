"""Who may do what: one table of roles, scopes and actions. `core/README.md` shows the same table, and a test compares.

People hold roles, keys hold scopes, and everything that asks goes through `may`: API views by the action they declare,
console views and templates by `user.has_perm("budgets.edit")`, which the `rules` package answers from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rules.permissions import set_perm
from rules.predicates import Predicate

VIEWER, FINANCE, ENGINEER = "viewer", "finance", "engineer"
APPROVER, PLATFORM, ADMIN = "approver", "platform", "admin"
EVERY_ROLE = frozenset({VIEWER, FINANCE, ENGINEER, APPROVER, PLATFORM, ADMIN})


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Who may do one thing: people with one of the roles, keys with one of the scopes."""

    does: str
    roles: frozenset[str]
    scopes: frozenset[str]


def _grant(does: str, roles: set[str] | frozenset[str], scopes: set[str]) -> Grant:
    # Whoever is admin may do everything; a table that left it out somewhere would lock everybody out there.
    return Grant(does=does, roles=frozenset(roles | {ADMIN}), scopes=frozenset(scopes | {"admin"}))


ACTIONS: dict[str, Grant] = {
    "view": _grant("see spend, budgets, alerts and the catalogue", EVERY_ROLE, {"read", "write"}),
    "usage.send": _grant("send usage", {PLATFORM}, {"usage:write"}),
    "receipts.read": _grant("see what became of a body that was sent", EVERY_ROLE, {"usage:write", "read", "write"}),
    "intake.settle": _grant(
        "try bodies again, give them up, settle what was held", {FINANCE, ENGINEER, PLATFORM}, {"write"}
    ),
    "rules.read": _grant("fetch the rules in force", EVERY_ROLE, {"rules:read", "read", "write"}),
    "metrics.read": _grant("scrape /metrics", {PLATFORM}, {"read", "write"}),
    "budgets.edit": _grant("change and retire budgets", {FINANCE, ENGINEER, PLATFORM}, {"write"}),
    "limits.approve": _grant("make budgets and set their limits", {FINANCE, APPROVER}, {"write"}),
    "limits.request": _grant("ask for another limit of a budget", {FINANCE, ENGINEER, APPROVER, PLATFORM}, {"write"}),
    "channels.edit": _grant("make, change, test and retire channels", {ENGINEER, PLATFORM}, {"write"}),
    "alerts.acknowledge": _grant("acknowledge and snooze alerts", {FINANCE, ENGINEER, APPROVER, PLATFORM}, {"write"}),
    "catalog.edit": _grant("claim and change use cases, teams and offerings", {FINANCE, ENGINEER, PLATFORM}, {"write"}),
    "prices.edit": _grant("propose prices", {FINANCE, PLATFORM}, {"write"}),
    "prices.approve": _grant("put prices in force", {FINANCE, APPROVER}, {"write"}),
    "months.close": _grant("close a month for good", {FINANCE}, set()),
    "keys.manage": _grant("make and revoke keys and gateways", {PLATFORM}, set()),
    "rules.edit": _grant("write drafts of rules and submit them", {ENGINEER, PLATFORM}, {"write"}),
    "rules.approve": _grant("approve drafts of others", {APPROVER}, set()),
    "rules.publish": _grant("publish what is approved, roll back", {ENGINEER, APPROVER, PLATFORM}, set()),
    "switches.turn": _grant("turn a model, offering or provider off and on", {ENGINEER, PLATFORM}, {"write"}),
    "users.manage": _grant("invite people and give roles", set(), set()),
    "organisation.edit": _grant("change the organisation's settings", set(), set()),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A key that calls the API: its scopes, and the gateway and environment it stands for, if any.

    It stands where Django expects a user, so it says what templates and DRF ask of one.
    """

    key_id: int
    name: str
    scopes: tuple[str, ...]
    gateway_id: int | None
    gateway: str | None
    environment: str
    expires_at: datetime | None
    last_used_at: datetime | None

    is_authenticated = True
    is_anonymous = False
    is_active = True

    @property
    def pk(self) -> int:
        return self.key_id

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return may(self, perm)

    def __str__(self) -> str:
        return f"key:{self.name}"


def may(principal: Any, action: str) -> bool:
    """Say whether somebody may do something. A person is judged by roles, a key by scopes, nobody else may anything.

    Raises:
        KeyError: there is no such action; asking for one that is not in the table is a mistake in the code.
    """
    grant = ACTIONS[action]
    if isinstance(principal, Caller):
        return not grant.scopes.isdisjoint(principal.scopes)
    if not getattr(principal, "is_authenticated", False) or not principal.is_active:
        return False
    return principal.is_superuser or not grant.roles.isdisjoint(principal.roles)


def label(principal: Any) -> str:
    """Return how the audit trail calls whoever acts: `key:NAME` or an e-mail address."""
    return str(principal)


def _predicate(action: str) -> Predicate:
    def allows(user: Any) -> bool:
        return may(user, action)

    return Predicate(allows, name=f"may {action}")


def register() -> None:
    """Make every action a permission, so that `user.has_perm(action)` asks the table; repeating it is harmless."""
    for action in ACTIONS:
        set_perm(action, _predicate(action))
