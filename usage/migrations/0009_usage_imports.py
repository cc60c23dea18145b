"""Files of past events: what was read of them, and what became of it."""

import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0006_hours_never_change'),
        ('usage', '0008_traces'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageImport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('environment', models.CharField(default='production', max_length=64)),
                ('format', models.CharField(max_length=32)),
                ('options', models.JSONField(default=dict)),
                ('file_name', models.CharField(max_length=200)),
                ('sha256', models.BinaryField(max_length=32)),
                ('state', models.CharField(choices=[('reading', 'Reading'), ('ready', 'Ready'), ('booking', 'Booking'), ('done', 'Done'), ('failed', 'Failed'), ('dropped', 'Dropped')], default='reading', max_length=8)),
                ('position', models.BigIntegerField(default=0)),
                ('items', models.BigIntegerField(default=0)),
                ('events', models.BigIntegerField(default=0)),
                ('rejected', models.BigIntegerField(default=0)),
                ('first_at', models.DateTimeField(null=True)),
                ('last_at', models.DateTimeField(null=True)),
                ('summary', models.JSONField(default=dict)),
                ('covers', django.contrib.postgres.fields.ranges.DateTimeRangeField(null=True)),
                ('audit', models.BooleanField(default=False)),
                ('note', models.CharField(blank=True, max_length=200)),
                ('started_at', models.DateTimeField()),
                ('started_by', models.CharField(max_length=254)),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('confirmed_by', models.CharField(blank=True, max_length=254)),
                ('finished_at', models.DateTimeField(null=True)),
                ('dropped_by', models.CharField(blank=True, max_length=254)),
                ('error', models.TextField(blank=True)),
                ('job_id', models.BigIntegerField(null=True)),
                ('gateway', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='imports', to='catalog.gateway')),
                ('source', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='import_of', to='usage.source')),
            ],
            options={
                'db_table': 'usage_import',
            },
        ),
        migrations.CreateModel(
            name='ImportPart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('events', models.BinaryField(null=True)),
                ('event_count', models.PositiveIntegerField()),
                ('rejected', models.JSONField(default=list)),
                ('receipt', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='usage.receipt')),
                ('usage_import', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='usage.usageimport')),
            ],
            options={
                'db_table': 'usage_importpart',
            },
        ),
        migrations.AddConstraint(
            model_name='usageimport',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['reading', 'ready', 'booking', 'done', 'failed', 'dropped'])), name='usage_import_state_known'),
        ),
        migrations.AddConstraint(
            model_name='usageimport',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['booking', 'done']), _negated=True), models.Q(('confirmed_at__isnull', False), ('covers__isnull', False), ('source__isnull', False)), _connector='OR'), name='usage_import_booked_under_a_source'),
        ),
        migrations.AddConstraint(
            model_name='usageimport',
            constraint=models.CheckConstraint(condition=models.Q(('first_at__isnull', True), ('first_at__lte', models.F('last_at')), _connector='OR'), name='usage_import_times_ordered'),
        ),
        migrations.AddConstraint(
            model_name='usageimport',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'dropped'), _negated=True), ('source__isnull', True), _connector='OR'), name='usage_import_dropped_before_booking'),
        ),
        migrations.AddConstraint(
            model_name='usageimport',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'dropped'), _negated=True), fields=('gateway', 'sha256'), name='usage_import_file_once'),
        ),
        migrations.AddConstraint(
            model_name='importpart',
            constraint=models.UniqueConstraint(fields=('usage_import', 'number'), name='usage_importpart_once'),
        ),
    ]
