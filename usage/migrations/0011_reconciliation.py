"""What a recount of the ledger found, against the sums that derive from it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0010_statements'),
    ]

    operations = [
        migrations.CreateModel(
            name='Reconciliation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('first_day', models.DateField()),
                ('last_day', models.DateField()),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('job_id', models.BigIntegerField(null=True)),
                ('by', models.CharField(max_length=254)),
                ('entries', models.BigIntegerField(default=0)),
                ('rows', models.BigIntegerField(default=0)),
                ('differing', models.BigIntegerField(default=0)),
                ('differences', models.JSONField(default=list)),
            ],
            options={
                'db_table': 'usage_reconciliation',
                'constraints': [models.CheckConstraint(condition=models.Q(('first_day__lte', models.F('last_day'))), name='usage_reconciliation_days')],
            },
        ),
    ]
