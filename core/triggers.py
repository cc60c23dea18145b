"""Triggers that several apps put on their tables. The functions they call are made by core's first migrations."""

from __future__ import annotations

import pgtrigger


def append_only(name: str) -> list[pgtrigger.Trigger]:
    """Refuse UPDATE, DELETE and TRUNCATE: what was written stays written."""
    return [
        pgtrigger.Trigger(
            name=f"{name}_row",
            when=pgtrigger.Before,
            operation=pgtrigger.Update | pgtrigger.Delete,
            func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME "
            "USING ERRCODE = 'restrict_violation';",
        ),
        no_truncate(f"{name}_all"),
    ]


def no_truncate(name: str) -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name=name,
        when=pgtrigger.Before,
        level=pgtrigger.Statement,
        operation=pgtrigger.Truncate,
        func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME "
        "USING ERRCODE = 'restrict_violation';",
    )


def audited() -> pgtrigger.Trigger:
    """Write every change of a row to the audit trail, whoever makes it and however: the database does it."""
    return pgtrigger.Trigger(
        name="audited",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        func="PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW)); RETURN NULL;",
    )
