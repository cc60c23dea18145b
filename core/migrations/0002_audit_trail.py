from django.db import migrations

FORWARD = """
CREATE FUNCTION core_audit_write(table_name text, operation text, old_row jsonb, new_row jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    -- Never in the trail: secrets, and the marks of mere use, which would bury the changes.
    hidden constant text[] := ARRAY['password', 'secret', 'digest', 'last_login', 'last_used_at'];
    named jsonb := coalesce(new_row, old_row);
BEGIN
    IF operation = 'UPDATE' AND (old_row - hidden) = (new_row - hidden)
       AND old_row -> 'password' IS NOT DISTINCT FROM new_row -> 'password'
       AND old_row -> 'secret' IS NOT DISTINCT FROM new_row -> 'secret' THEN
        RETURN;
    END IF;
    INSERT INTO core_auditentry (actor, reason, "table", "row", operation, before, after, transaction)
    VALUES (
        coalesce(current_setting('tollkeeper.actor', true), ''),
        coalesce(current_setting('tollkeeper.reason', true), ''),
        table_name,
        coalesce(named ->> 'id', named ->> 'key_id', ''),
        lower(operation),
        old_row - hidden,
        new_row - hidden,
        pg_current_xact_id()::text::bigint
    );
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_records")]
    operations = [migrations.RunSQL(FORWARD, "DROP FUNCTION core_audit_write(text, text, jsonb, jsonb);")]
