"""Who a key stands for: the key's scopes with its gateway and environment, in one query."""

from __future__ import annotations

from typing import Any

import structlog

from core import keys, secrets
from core.access import Caller
from core.models import ApiKey

log = structlog.get_logger(__name__)

_CALLER = (
    "id", "name", "scopes", "expires_at", "last_used_at",
    "gateway_key__gateway_id", "gateway_key__gateway__name", "gateway_key__environment",
)  # fmt: skip


def by_digest(digest: bytes) -> Caller | None:
    """Return the caller of a key that is not revoked; None where there is none. One query.

    A key for people's scripts has no gateway; its caller has none either, and can send no usage.
    """
    row = ApiKey.objects.filter(digest=digest, revoked_at__isnull=True).values_list(*_CALLER).first()
    return None if row is None else _caller(row)


def signing(key_id: int) -> tuple[Caller, str] | None:
    """Return the caller of a key that is not revoked, with its secret for S3; None without one. One query.

    One that cannot be decrypted any more is none, and the log says so: whoever asks is a stranger yet.
    """
    found = ApiKey.objects.filter(pk=key_id, revoked_at__isnull=True, secret__isnull=False)
    row = found.values_list(*_CALLER, "secret").first()
    if row is None:
        return None
    try:
        return _caller(row[:-1]), secrets.decrypt(row[-1]).decode()
    except (secrets.KeysMissing, secrets.Unreadable) as error:
        log.error("key.secret_unreadable", key=row[1], error=str(error))
        return None


def _caller(row: tuple[Any, ...]) -> Caller:
    key_id, name, scopes, expires_at, last_used_at, gateway_id, gateway, environment = row
    return Caller(
        key_id=key_id,
        name=name,
        scopes=tuple(scopes),
        gateway_id=gateway_id,
        gateway=gateway,
        environment=environment or "",
        expires_at=expires_at,
        last_used_at=last_used_at,
    )


def register() -> None:
    """Tell core, which does not know gateways, how keys are looked up."""
    keys.looked_up_by(by_digest)
