from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("core", "0002_audit_trail")]
    operations = [
        migrations.RunSQL(
            "INSERT INTO core_organisation (id, name, zone, declared_tags, separation_of_duties) "
            "VALUES (1, 'My organisation', 'UTC', '{}', true);",
            migrations.RunSQL.noop,
        )
    ]
