from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("budgets", "0001_records"), ("core", "0003_first_rows")]
    operations = [
        migrations.RunSQL(
            "INSERT INTO budgets_change (id, definitions, states) VALUES (1, 0, 0);", migrations.RunSQL.noop
        )
    ]
