from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("catalog", "0002_dated_records"), ("core", "0003_first_rows")]
    operations = [
        migrations.RunSQL(
            """
            INSERT INTO catalog_revision (id, number) VALUES (1, 0);
            INSERT INTO catalog_team (name, folded, state) VALUES ('unassigned', 'unassigned', 'claimed');
            INSERT INTO catalog_usecase (name, folded, title, owner, data_class, state)
            VALUES ('unassigned', 'unassigned', 'Events that name no use case', '', '', 'claimed');
            """,
            migrations.RunSQL.noop,
        )
    ]
