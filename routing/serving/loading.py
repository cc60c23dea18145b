"""What the shelf is filled with, read from the database."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from core.access import Caller, may
from core.models import ApiKey
from routing.models import Environment, StateRevision, Version
from routing.serving import documents, signing
from routing.serving.documents import Served, Whole
from routing.serving.shelf import Reader

ACTION = "rules.read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What is in force in an environment."""

    environment_id: int
    name: str
    version: int
    revision: int

    def is_of(self, served: Served | None) -> bool:
        return served is not None and (served.version, served.revision) == (self.version, self.revision)


def pointers(*, environment: str | None = None) -> list[Pointer]:
    """Return what is in force in each environment that has a version, or in one of them. One query."""
    found = Environment.objects.filter(live_version__isnull=False)
    if environment is not None:
        found = found.filter(name=environment)
    return [
        Pointer(environment_id=pk, name=name, version=version, revision=revision)
        for pk, name, version, revision in found.values_list("id", "name", "live_version", "state_revision")
        if version is not None
    ]


def served(pointer: Pointer) -> Served:
    """Make the document of a pointer. Two queries: what it points to never changes, so they need no transaction."""
    version = Version.objects.only("canonical", "published_at").get(
        environment_id=pointer.environment_id, number=pointer.version
    )
    state = (
        StateRevision.objects.filter(environment_id=pointer.environment_id, revision=pointer.revision)
        .values_list("canonical", flat=True)
        .first()
    )
    signer = signing.signer()
    return documents.build(
        environment=pointer.name,
        version=pointer.version,
        published_at=version.published_at,
        content=bytes(version.canonical),
        revision=pointer.revision,
        state=None if state is None else bytes(state),
        sign=None if signer is None else signer.header,
    )


def published(*, environment: str, number: int) -> Whole | None:
    """Return a version at its own address, None where there is none. One query, of what never changes."""
    version = Version.objects.select_related("environment").filter(environment__name=environment, number=number).first()
    if version is None:
        return None
    about = {
        "spec": version.spec, "environment": environment, "version": number, "base": version.base,
        "published_at": documents.instant(version.published_at), "published_by": version.published_by,
        "approved_by": version.approved_by, "title": version.title, "reason": version.reason,
        "rolls_back_to": version.rolls_back_to, "sha256": bytes(version.sha256).hex(),
    }  # fmt: skip
    plain = documents.published(about=about, content=bytes(version.canonical))
    signer = signing.signer()
    return documents.forever(plain, signature=None if signer is None else signer.header(plain))


def keys_fingerprint() -> tuple[int, int]:
    """Return what differs once any key that is not revoked was made, changed or revoked. One query.

    `xmin` is the transaction that last wrote a row, so no way of changing a key is missed, raw SQL included.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(hashtextextended(concat_ws(' ', key.xmin, gateway_key.xmin), key.id)), 0)"
            "  FROM core_apikey key LEFT JOIN catalog_gatewaykey gateway_key ON gateway_key.key_id = key.id"
            " WHERE key.revoked_at IS NULL"
        )
        count, mixed = cursor.fetchone()
    return count, int(mixed)


def readers() -> dict[bytes, Reader]:
    """Return the keys that are not revoked and may read rules, by digest. One query.

    Expired ones are among them: whoever looks a key up asks the clock.
    """
    rows = ApiKey.objects.filter(revoked_at__isnull=True).values_list(
        "digest", "id", "name", "scopes", "expires_at", "gateway_key__gateway_id", "gateway_key__environment"
    )
    found = {}
    for digest, key_id, name, scopes, expires_at, gateway_id, environment in rows:
        caller = Caller(
            key_id=key_id, name=name, scopes=tuple(scopes), gateway_id=gateway_id, gateway=None,
            environment=environment or "", expires_at=expires_at, last_used_at=None,
        )  # fmt: skip
        if may(caller, ACTION):
            found[bytes(digest)] = Reader.of(key_id=key_id, gateway_id=gateway_id, expires_at=expires_at)
    return found
