"""Statistics of tables that PostgreSQL's own autovacuum leaves without any.

It analyses no partitioned table as a whole, and a small one only when fifty rows of it have changed: one that had two
rows at its last look and sixty since is planned for as if it had two. Reads that are right for two rows took ten times
as long.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.utils import OperationalError

from usage.services import partitions

# Whatever is larger has changed often enough for autovacuum.
_SMALL = 10_000  # rows
_STALE = """
    SELECT c.relname, c.relkind = 'p' AND current_setting('server_version_num')::int >= 180000
    FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    CROSS JOIN LATERAL (SELECT greatest(s.last_analyze, s.last_autoanalyze) AS analysed_at) looked
    WHERE c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition
        AND pg_has_role(c.relowner, 'USAGE')
        AND (c.relkind = 'p' OR (c.relkind = 'r' AND c.reltuples < %s AND
            (s.n_mod_since_analyze > 0 OR analysed_at IS NULL)))
        AND (analysed_at IS NULL OR analysed_at < now() - interval '20 hours')
    ORDER BY c.relname
"""


def analyse() -> int:
    """Analyse partitioned tables and small ones that have changed, once a day each; returns how many.

    One that could not be had in `partitions.LONGEST_WAIT` is left for the next time. Seconds for a ledger of ten
    million entries: of partitions that are large a sample is read.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STALE, [_SMALL])
        stale: list[tuple[str, bool]] = cursor.fetchall()
    return sum(_analysed(name, alone=alone) for name, alone in stale)


def _analysed(name: str, *, alone: bool) -> bool:
    """Analyse a table, `alone` without its partitions: these have statistics by autovacuum."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [partitions.LONGEST_WAIT])
            cursor.execute(f"ANALYZE {'ONLY ' if alone else ''}{connection.ops.quote_name(name)}")
    except OperationalError as error:
        if not partitions.busy(error):
            raise
        return False
    return True
