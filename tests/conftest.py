"""What every test relies on: a flush that gets past the triggers, first rows that come back, caches that forget."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management.commands import flush
from django.db import connection, transaction
from django.db.backends.postgresql.operations import DatabaseOperations
from django.template import Context, RequestContext, Template
from django.test.utils import instrumented_test_render
from django.utils import timezone
from django.utils.safestring import SafeString
from hypothesis import is_hypothesis_test
from hypothesis import settings as drawing

from core import keys, turned_away
from core.periods import add_months
from tests import servers
from tests.drawing import drawn
from tests.usage.making import NOON, forget_everything
from usage.services import partitions

# Tables that Django does not manage, and so would not flush.
UNMANAGED = (
    "ledger", "ledger_unsummed", "event_key", "rollup_15min", "rollup_day", "rollup_day_tag", "rollup_day_user",
    "rollup_past", "rollup_past_week", "rollup_past_attempts", "rollup_past_days", "rollup_past_weeks",
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
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "tests.static_names.PlainNames"}}
    # Each client would look through what was collected on this machine, if anything was.
    settings.WHITENOISE_AUTOREFRESH = True
    drawing.register_profile("tollkeeper", drawn())
    drawing.load_profile("tollkeeper")
    # A third of a second for each password that somebody is given or signs in with is for attackers.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if servers.HAS_TABLES in os.environ:
        database = settings.DATABASES["default"]
        database["TEST"] = {**database.get("TEST", {}), "TEMPLATE": database["NAME"]}


def pytest_itemcollected(item: pytest.Item) -> None:
    # Tests of drawn values draw more in `make soak`.
    if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
        item.add_marker(pytest.mark.soak)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files that take long first, whatever the order of the rest: begun last, one would leave a core idle to the end.
    # (pytest-xdist would sort by the number of tests, hence --no-loadscope-reorder.)
    drawing_many = {item.path for item in items if item.get_closest_marker("soak")}

    def quick(item: pytest.Item) -> int:
        starts_processes = item.path.parent.name.startswith(("browser", "controlplane", "faults", "gateways"))
        return 0 if starts_processes else 1 if item.path in drawing_many else 2

    items.sort(key=quick)


def pytest_collection_finish() -> None:
    # Whatever was collected stays to the end: looking through it for garbage, again and again, took 3 % of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _sql_flush(self: DatabaseOperations, style: object, tables: Sequence[str], **options: bool) -> list[str]:
    """Return what empties all tables. A hundred short tables are deleted from in a tenth of the time TRUNCATE takes."""
    return [f"DELETE FROM {self.quote_name(table)}" for table in (*tables, *UNMANAGED) if table not in KEPT]


def _flush(self: DatabaseOperations, sql_list: Sequence[str]) -> None:
    """Empty all tables between transactional tests, and drop the partitions that these made.

    Triggers refuse to delete what must never change. This flush, and nothing else anywhere, runs as a replica does,
    with triggers off.
    """
    with connection.cursor() as cursor:
        with transaction.atomic():
            cursor.execute("; ".join(("SET LOCAL session_replication_role = replica", *sql_list, *FIRST_ROWS)))
        # A year of months that one test booked in would cost every later one that plans or checks over all of them.
        for partition in _partitions() - _first_partitions:
            cursor.execute(f"DROP TABLE {partition}")


_first_partitions: set[str] = set()  # those that every test finds


def _partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.inhrelid::regclass::text FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent "
            "WHERE p.relkind = 'p'"
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.fixture(scope="session", autouse=True)
def _flush_past_triggers() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(DatabaseOperations, "sql_flush", _sql_flush)
    patch.setattr(DatabaseOperations, "execute_sql_flush", _flush)
    # It would make the content types and permissions that were kept, and takes longer than the flush itself.
    patch.setattr(flush, "emit_post_migrate_signal", lambda *args, **options: None)
    yield
    patch.undo()


def _render(self: Template, context: Context) -> SafeString:
    """Hand the context of a page to Django's test client, and not those of the hundreds of templates inside of it."""
    if context.template is self and isinstance(context, RequestContext):
        return instrumented_test_render(self, context)
    return self.nodelist.render(context)


@pytest.fixture(scope="session", autouse=True)
def _only_pages_tell_of_themselves(django_test_environment: None) -> None:
    Template._render = _render


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Make the partitions of the months that most tests book in, or each that takes its writes back makes them anew."""
    this = timezone.now().date().replace(day=1)
    with django_db_blocker.unblock():
        partitions.make(first=add_months(this, -1), last=this)
        partitions.make(first=NOON.date(), last=NOON.date())
        _first_partitions.update(_partitions())
        connection.close()


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """Forget what an earlier test left in memory or in Redis: callers, rate limits, names, prices, partitions."""
    turned_away._resting_until = 0.0  # a test without Redis leaves it resting for seconds
    keys.forget()
    forget_everything()
    yield
    keys.forget()
    forget_everything()


@pytest.fixture(autouse=True)
def _cache_is_empty(request: pytest.FixtureRequest) -> None:
    if "client" in request.fixturenames or "live_server" in request.fixturenames:
        cache.clear()
