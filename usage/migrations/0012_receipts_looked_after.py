"""Find receipts that need a person, say how late calls came in, and keep what people decided about them."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0011_reconciliation'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='receipt',
            name='usage_receipt_newest',
        ),
        migrations.AddField(
            model_name='heldevent',
            name='settled_because',
            field=models.CharField(blank=True, db_default='', max_length=200),
        ),
        migrations.AddField(
            model_name='receipt',
            name='first_occurred_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='receipt',
            name='given_up_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='receipt',
            name='given_up_because',
            field=models.CharField(db_default='', max_length=200),
        ),
        migrations.AddField(
            model_name='receipt',
            name='given_up_by',
            field=models.CharField(db_default='', max_length=254),
        ),
        migrations.AddField(
            model_name='receipt',
            name='last_occurred_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='receipt',
            name='rejected_count',
            field=models.GeneratedField(db_persist=True, expression=models.Func(models.F('rejected'), function='jsonb_array_length'), output_field=models.IntegerField()),
        ),
        migrations.AddIndex(
            model_name='receipt',
            index=models.Index(fields=['source', '-received_at', '-id'], include=('event_count', 'rejected_count', 'conflicts', 'quarantined', 'shadowed', 'superseded'), name='usage_receipt_newest'),
        ),
        migrations.AddIndex(
            model_name='receipt',
            index=models.Index(condition=models.Q(('state', 'failed')), fields=['source', '-received_at', '-id'], name='usage_receipt_set_aside'),
        ),
        migrations.AddIndex(
            model_name='receipt',
            index=models.Index(condition=models.Q(('rejected_count__gt', 0), ('conflicts__gt', 0), ('quarantined__gt', 0), ('shadowed__gt', 0), ('superseded__gt', 0), _connector='OR'), fields=['source', '-received_at', '-id'], name='usage_receipt_in_part'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='heldevent',
            trigger=pgtrigger.compiler.Trigger(name='audited', sql=pgtrigger.compiler.UpsertTriggerSql(func="PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD) - '{event,content}'::text[], to_jsonb(NEW) - '{event,content}'::text[]); RETURN NULL;", hash='45d8f69d7c7de98823f57f1979f8fc452e38284a', operation='UPDATE', pgid='pgtrigger_audited_7fc73', table='usage_heldevent', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='receipt',
            trigger=pgtrigger.compiler.Trigger(name='audited', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."state" = \'failed\')', func="PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD) - '{events,rejected}'::text[], to_jsonb(NEW) - '{events,rejected}'::text[]); RETURN NULL;", hash='53bb22d138c8ec0e9a505038af9c2c71db6c0e96', operation='UPDATE', pgid='pgtrigger_audited_d66a9', table='receipt', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='receipt',
            constraint=models.CheckConstraint(condition=models.Q(('given_up_at__isnull', True), models.Q(('state', 'failed'), models.Q(('given_up_by', ''), _negated=True), models.Q(('given_up_because', ''), _negated=True)), _connector='OR'), name='usage_receipt_given_up_whole'),
        ),
    ]
