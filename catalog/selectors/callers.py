"""Who a key stands for: the key's scopes with its gateway and environment, in one query."""

from __future__ import annotations

from core import keys
from core.access import Caller
from core.models import ApiKey


def by_digest(digest: bytes) -> Caller | None:
    """Return the caller of a key that is not revoked; None where there is none. One query.

    A key for people's scripts has no gateway; its caller has none either, and can send no usage.
    """
    row = (
        ApiKey.objects.filter(digest=digest, revoked_at__isnull=True)
        .values_list(
            "id", "name", "scopes", "expires_at", "last_used_at",
            "gateway_key__gateway_id", "gateway_key__gateway__name", "gateway_key__environment",
        )
        .first()
    )  # fmt: skip
    if row is None:
        return None
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
