"""What a recount of the ledger found, what was made anew from it, and what of it was dropped."""

import pgtrigger.compiler
import pgtrigger.migrations
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
                ('full', models.BooleanField()),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('job_id', models.BigIntegerField(null=True)),
                ('by', models.CharField(max_length=254)),
                ('entries', models.BigIntegerField(default=0)),
                ('rows', models.BigIntegerField(default=0)),
                ('differing', models.BigIntegerField(default=0)),
                ('differences', models.JSONField(default=list)),
                ('days', models.JSONField(default=dict)),
            ],
            options={
                'db_table': 'usage_reconciliation',
                'constraints': [models.CheckConstraint(condition=models.Q(('first_day__lte', models.F('last_day'))), name='usage_reconciliation_days')],
            },
        ),
        migrations.CreateModel(
            name='DroppedPartition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('table', models.CharField(max_length=32)),
                ('month', models.DateField()),
                ('rows', models.BigIntegerField()),
                ('dropped_at', models.DateTimeField()),
                ('by', models.CharField(max_length=254)),
                ('keep_ledger_months', models.PositiveSmallIntegerField()),
            ],
            options={
                'db_table': 'usage_droppedpartition',
            },
        ),
        migrations.CreateModel(
            name='Rebuild',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('first_day', models.DateField()),
                ('last_day', models.DateField()),
                ('asked_at', models.DateTimeField()),
                ('by', models.CharField(max_length=254)),
                ('reason', models.CharField(max_length=300)),
                ('job_id', models.BigIntegerField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('mended', models.JSONField(default=dict)),
            ],
            options={
                'db_table': 'usage_rebuild',
            },
        ),
        migrations.AddIndex(
            model_name='receipt',
            index=models.Index(condition=models.Q(('events__isnull', False), ('state', 'done')), fields=['done_at'], name='usage_receipt_held'),
        ),
        migrations.AddConstraint(
            model_name='droppedpartition',
            constraint=models.UniqueConstraint(condition=models.Q(('table', 'ledger')), fields=('month',), name='usage_droppedpartition_ledger_once'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='droppedpartition',
            trigger=pgtrigger.compiler.Trigger(name='audited', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW)); RETURN NULL;', hash='5cac03efeb51f8a1bc2b38c1f5fdc58aadc8a053', operation='INSERT OR UPDATE OR DELETE', pgid='pgtrigger_audited_1844c', table='usage_droppedpartition', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='droppedpartition',
            trigger=pgtrigger.compiler.Trigger(name='usage_droppedpartition_row', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';", hash='0ef869e15aa67ee1a9f95e9f0d14b7021ecb13e5', operation='UPDATE OR DELETE', pgid='pgtrigger_usage_droppedpartition_row_6efa5', table='usage_droppedpartition', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='droppedpartition',
            trigger=pgtrigger.compiler.Trigger(name='usage_droppedpartition_all', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';", hash='f6c2bcf40c4497536fb8dea8ecff5951110aaf49', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_usage_droppedpartition_all_8daa9', table='usage_droppedpartition', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='rebuild',
            constraint=models.CheckConstraint(condition=models.Q(('first_day__lte', models.F('last_day'))), name='usage_rebuild_days'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='rebuild',
            trigger=pgtrigger.compiler.Trigger(name='audited', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW)); RETURN NULL;', hash='5290559c3a77669a79fcefdc7fdc11d293490e7d', operation='INSERT OR UPDATE OR DELETE', pgid='pgtrigger_audited_ada0f', table='usage_rebuild', when='AFTER')),
        ),
        # A day's entries are found by when they happened, those of a closed month that came late by when they were booked.
        migrations.RunSQL(
            'CREATE INDEX ledger_late ON ledger (booked_at) WHERE correction_of IS NOT NULL', 'DROP INDEX ledger_late'
        ),
    ]
