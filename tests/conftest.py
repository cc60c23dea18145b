"""What every test relies on: a flush that gets past the triggers, first rows that come back, caches that forget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management.commands import flush
from django.db import connection, transaction
from django.db.backends.postgresql.operations import DatabaseOperations

from core import keys
from tests.usage.making import forget_everything

# Tables that Django does not manage, and so would not flush.
UNMANAGED = (
    "ledger", "ledger_unsummed", "event_key", "rollup_15min", "rollup_day", "rollup_day_tag", "rollup_day_user",
)  # fmt: skip

# What migrations fill in and no test changes.
KEPT = ("django_migrations", "django_content_type", "auth_permission")

# The rows that migrations make: after a flush they are there again.
FIRST_ROWS = (
    (
        "INSERT INTO core_organisation (id, name, zone, declared_tags, separation_of_duties) "
        "VALUES (1, 'My organisation', 'UTC', '{}', true)"
    ),
    "INSERT INTO catalog_revision (id, number) VALUES (1, 0)",
    "INSERT INTO catalog_team (id, name, folded, state) VALUES (1, 'unassigned', 'unassigned', 'claimed')",
    "INSERT INTO catalog_usecase (id, name, folded, title, owner, data_class, state) VALUES (1, 'unassigned', "  # noqa: ISC004
    "'unassigned', 'Events that name no use case', '', '', 'claimed')",
    "INSERT INTO budgets_change (id, definitions, states) VALUES (1, 0, 0)",
)


def pytest_configure() -> None:
    # Pages name their static files plainly here: the manifest is made by collectstatic, which tests do not need.
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files that take minutes first, whatever the order of the rest: begun last, one would leave a core idle to the end.
    # (pytest-xdist would sort by the number of tests, hence --no-loadscope-reorder.)
    items.sort(key=lambda item: not item.path.parent.name.startswith(("faults", "browser", "controlplane")))


def _sql_flush(self: DatabaseOperations, style: object, tables: Sequence[str], **options: bool) -> list[str]:
    """Return what empties all tables. A hundred short tables are deleted from in a tenth of the time TRUNCATE takes."""
    return [f"DELETE FROM {self.quote_name(table)}" for table in (*tables, *UNMANAGED) if table not in KEPT]


def _flush(self: DatabaseOperations, sql_list: Sequence[str]) -> None:
    """Empty all tables between transactional tests.

    Triggers refuse to delete what must never change. This flush, and nothing else anywhere, runs as a replica does,
    with triggers off.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("; ".join(("SET LOCAL session_replication_role = replica", *sql_list, *FIRST_ROWS)))


@pytest.fixture(scope="session", autouse=True)
def _flush_past_triggers() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(DatabaseOperations, "sql_flush", _sql_flush)
    patch.setattr(DatabaseOperations, "execute_sql_flush", _flush)
    # It would make the content types and permissions that were kept, and takes longer than the flush itself.
    patch.setattr(flush, "emit_post_migrate_signal", lambda *args, **options: None)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """Forget what an earlier test left in memory or in Redis: callers, rate limits, names, prices, partitions."""
    keys.forget()
    forget_everything()
    yield
    keys.forget()
    forget_everything()


@pytest.fixture(autouse=True)
def _cache_is_empty(request: pytest.FixtureRequest) -> None:
    if "client" in request.fixturenames or "live_server" in request.fixturenames:
        cache.clear()
