"""Gateways and the keys that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from catalog.models import Gateway, GatewayKey, TakesRules
from catalog.rules import gateway_settings
from catalog.services.labels import checked_name
from core.errors import Conflict, Invalid, NotFound
from core.models import ApiKey
from core.services import audit, keys

# Kinds that know no polling: what is published has to fit their form as soon as one of them is there.
EXPORTED_KINDS = frozenset({"bifrost", "cloudflare", "openrouter", "vercel", "openclaw"})
_KINDS_WITH_A_FORM = EXPORTED_KINDS | {"litellm"}


class GatewayExists(Conflict):
    """A gateway has that name already."""


class KeyMadeMeanwhile(Conflict):
    """A key of the gateway is newer than the newest one that whoever asks has seen."""


def get(name: str) -> Gateway:
    """Return the gateway of a name.

    Raises:
        NotFound: there is none.
    """
    found = Gateway.objects.filter(name__iexact=name.strip()).first()
    if found is None:
        raise NotFound(f"There is no gateway {name!r}.")
    return found


@transaction.atomic
def create(
    *,
    name: str,
    by: str,
    at: datetime,
    kind: str = "native",
    settings: dict[str, Any] | None = None,
    takes_rules: str | None = None,
) -> Gateway:
    """Make a gateway. `settings` tell the wire formats of its kind what this one does its own way.

    Where `takes_rules` is not given it polls for them, unless its kind cannot: rules then have to fit its form.

    Raises:
        Invalid: the name cannot be one, or there is no such way of taking rules.
        GatewayExists: another has it.
    """
    audit.acting(by=by)
    name = checked_name(name)
    if Gateway.objects.filter(name__iexact=name).exists():
        raise GatewayExists(f"There is a gateway {name!r} already.")
    if takes_rules is None:
        takes_rules = TakesRules.EXPORT if kind in EXPORTED_KINDS else TakesRules.POLL
    _check_takes_rules(takes_rules, kind)
    facts = {"kind": kind, "settings": settings or {}, "created_at": at, "takes_rules": takes_rules}
    gateway, made = Gateway.objects.get_or_create(name=name, defaults=facts)
    if not made:
        raise GatewayExists(f"There is a gateway {name!r} already.")
    return gateway


@transaction.atomic
def create_key(
    *,
    name: str,
    gateway: str,
    environment: str = "production",
    scopes: Sequence[str],
    by: str,
    at: datetime,
    expires_at: datetime | None = None,
    newest_seen: int | None = None,
) -> str:
    """Make a key for a gateway, and the gateway where it is new. Return the secret, which is never shown again.

    `newest_seen` is the id of the gateway's newest key that whoever asks knows of, 0 for none: the same request sent
    again, by a reload or a second click, then makes no second key.

    Raises:
        Invalid: a name or scope cannot be; all reasons at once, and nothing is made.
        Conflict: the gateway is retired.
        KeyMadeMeanwhile: there is a newer key than `newest_seen`.
    """
    audit.acting(by=by)
    _all_of(
        lambda: keys.check(name=name, scopes=scopes, at=at, expires_at=expires_at),
        lambda: checked_name(environment, field="environment", length=64),
    )
    environment = environment.strip()
    known = Gateway.objects.filter(name__iexact=gateway.strip())
    stands_for = (known if newest_seen is None else known.select_for_update()).first()
    if newest_seen is not None and GatewayKey.objects.filter(gateway=stands_for, key__gt=newest_seen).exists():
        raise KeyMadeMeanwhile(
            f"A key of {gateway} was made since this form was opened, so none was made now. A secret is shown once, "
            "when it is made; whoever missed it rotates the key."
        )
    if stands_for is None:
        stands_for = create(name=gateway, by=by, at=at)
    if stands_for.retired_at is not None:
        raise Conflict(f"The gateway {stands_for.name} is retired: it takes no new key.")
    key, secret = keys.issue(name=name, scopes=scopes, by=by, at=at, expires_at=expires_at)
    GatewayKey.objects.create(key=key, gateway=stands_for, environment=environment)
    return secret


@transaction.atomic
def connect(
    *,
    name: str,
    kind: str,
    environment: str,
    scopes: Sequence[str],
    by: str,
    at: datetime,
    expires_at: datetime | None = None,
    takes_rules: str | None = None,
) -> str:
    """Make a gateway with its first key, which bears its name. Return the secret, which is never shown again.

    How it takes rules is as `create` has it.

    Raises:
        Invalid: something cannot be; all reasons at once, and nothing is made.
        GatewayExists: another has the name; a request sent twice makes one gateway with one key.
    """
    audit.acting(by=by)
    _all_of(
        lambda: checked_name(name),
        lambda: checked_name(kind, field="kind", length=32),
        lambda: checked_name(environment, field="environment", length=64),
        # The key's name is the gateway's, which is checked above.
        lambda: keys.check(name="gateway", scopes=scopes, at=at, expires_at=expires_at),
    )
    gateway = create(name=name, kind=kind.strip(), by=by, at=at, takes_rules=takes_rules)
    return create_key(
        name=gateway.name,
        gateway=gateway.name,
        environment=environment,
        scopes=scopes,
        by=by,
        at=at,
        expires_at=expires_at,
    )


@transaction.atomic
def rotate_key(*, key: ApiKey, by: str, at: datetime, expires_at: datetime | None = None, reason: str = "") -> str:
    """Put a new key in the place of one, for the same gateway and environment, with its name and scopes.

    The old one stops at once; the source of events stays the same, so an event sent again with the new key is still a
    duplicate. Who needs both for a while makes a second key instead.

    Raises:
        Invalid: the key stands for no gateway.
        Conflict: the key is revoked already.
    """
    audit.acting(by=by, reason=reason)
    link = GatewayKey.objects.select_related("gateway").filter(key=key).first()
    if link is None:
        raise Invalid(f"The key {key.name} stands for no gateway.")
    if not keys.revoke(key=key, by=by, at=at, reason=reason):
        raise Conflict(f"The key {key.name} is revoked already.")
    return create_key(
        name=key.name,
        gateway=link.gateway.name,
        environment=link.environment,
        scopes=key.scopes,
        by=by,
        at=at,
        expires_at=expires_at,
    )


@transaction.atomic
def revoke_key(*, key: ApiKey, by: str, at: datetime, reason: str) -> bool:
    """End a key, whatever it stands for. Says whether this call did it; ending it again changes nothing.

    Raises:
        Invalid: no reason is given.
    """
    if not reason.strip():
        raise Invalid("Say why the key is revoked.", [("reason", "This is needed.")])
    return keys.revoke(key=key, by=by, at=at, reason=reason.strip())


@transaction.atomic
def change_settings(*, gateway_id: int, given: Mapping[str, Any], by: str, reason: str = "") -> bool:
    """Set what is given of a gateway's settings (`catalog.rules.gateway_settings`); says whether that changed any.

    What is not given stays. The edges hear of it within five seconds; what came in before is not read again. Takes part
    in the caller's transaction, if there is one.

    Raises:
        NotFound: there is no such gateway.
        Conflict: the gateway is retired.
        Invalid: something cannot be; all reasons at once, and nothing is changed.
    """
    audit.acting(by=by, reason=reason)
    gateway = Gateway.objects.select_for_update().filter(pk=gateway_id).first()
    if gateway is None:
        raise NotFound(f"There is no gateway {gateway_id}.")
    if gateway.retired_at is not None:
        raise Conflict(f"The gateway {gateway.name} is retired: it sends nothing any more.")
    problems = gateway_settings.problems(given)
    if problems:
        raise Invalid("The settings cannot be kept as they are.", problems)
    tidied = {name: gateway_settings.tidied(name, value) for name, value in given.items()}
    known = gateway_settings.read(gateway.settings)
    changed = {name: value for name, value in tidied.items() if getattr(known, name) != value}
    if not changed:
        return False
    gateway.settings = {**gateway.settings, **{name: _plain(value) for name, value in changed.items()}}
    gateway.save(update_fields=["settings"])
    return True


@transaction.atomic
def take_rules(*, gateway_id: int, how: str, by: str, reason: str = "") -> bool:
    """Say how a gateway gets its rules (`TakesRules`); says whether that changed. Repeating it changes nothing.

    Drafts are held to the forms of gateways from the next check on; what is in force stays as it is.

    Raises:
        NotFound: there is no such gateway.
        Conflict: the gateway is retired.
        Invalid: there is no such way, or no form for its kind.
    """
    audit.acting(by=by, reason=reason)
    gateway = Gateway.objects.select_for_update().filter(pk=gateway_id).first()
    if gateway is None:
        raise NotFound(f"There is no gateway {gateway_id}.")
    if gateway.retired_at is not None:
        raise Conflict(f"The gateway {gateway.name} is retired: it takes no rules any more.")
    _check_takes_rules(how, gateway.kind)
    if gateway.takes_rules == how:
        return False
    gateway.takes_rules = how
    gateway.save(update_fields=["takes_rules"])
    return True


def _check_takes_rules(how: str, kind: str) -> None:
    if how not in TakesRules.values:
        problem = f"One of {', '.join(TakesRules.values)}."
    elif how == TakesRules.EXPORT and kind not in _KINDS_WITH_A_FORM:
        problem = f"There is no form of the rules for gateways of the kind {kind}."
    else:
        return
    raise Invalid("This gateway cannot take rules like this.", [("takes_rules", problem)])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@transaction.atomic
def retire(*, gateway: Gateway, by: str, at: datetime, reason: str = "") -> None:
    """End a gateway and all its keys. What it reported stays; repeating changes nothing."""
    audit.acting(by=by, reason=reason)
    Gateway.objects.filter(pk=gateway.pk, retired_at__isnull=True).update(retired_at=at)
    for key in ApiKey.objects.filter(gateway_key__gateway=gateway, revoked_at__isnull=True):
        keys.revoke(key=key, by=by, at=at, reason=reason)
    gateway.refresh_from_db(fields=["retired_at"])


def _all_of(*checks: Callable[[], object]) -> None:
    """Run checks and raise what they found together."""
    found = []
    for check in checks:
        try:
            check()
        except Invalid as error:
            found.append(error)
    if found:
        raise Invalid(" ".join(map(str, found)), [problem for error in found for problem in error.problems])
