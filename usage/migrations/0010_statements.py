"""What providers say was used and what it costs, by day."""

import django.contrib.postgres.fields
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0006_hours_never_change'),
        ('usage', '0009_usage_imports'),
    ]

    operations = [
        migrations.CreateModel(
            name='StatementFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('format', models.CharField(max_length=32)),
                ('account', models.CharField(blank=True, max_length=128)),
                ('file_name', models.CharField(max_length=200)),
                ('sha256', models.BinaryField(max_length=32)),
                ('first_day', models.DateField()),
                ('last_day', models.DateField()),
                ('partial_days', django.contrib.postgres.fields.ArrayField(base_field=models.DateField(), default=list, size=None)),
                ('notes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=300), default=list, size=None)),
                ('lines', models.PositiveIntegerField()),
                ('imported_at', models.DateTimeField()),
                ('imported_by', models.CharField(max_length=254)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('withdrawn_by', models.CharField(blank=True, max_length=254)),
                ('withdrawn_why', models.CharField(blank=True, max_length=200)),
                ('gateway', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.gateway')),
            ],
            options={
                'db_table': 'usage_statementfile',
            },
        ),
        migrations.CreateModel(
            name='ProviderStatement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('provider', models.CharField(max_length=128)),
                ('model', models.CharField(blank=True, max_length=193)),
                ('key', models.CharField(blank=True, max_length=128)),
                ('project', models.CharField(blank=True, max_length=128)),
                ('service_tier', models.CharField(blank=True, max_length=32)),
                ('item', models.CharField(blank=True, max_length=200)),
                ('requests', models.BigIntegerField(null=True)),
                ('input_tokens', models.BigIntegerField(null=True)),
                ('cache_read_tokens', models.BigIntegerField(null=True)),
                ('cache_write_tokens', models.BigIntegerField(null=True)),
                ('output_tokens', models.BigIntegerField(null=True)),
                ('reasoning_tokens', models.BigIntegerField(null=True)),
                ('web_searches', models.BigIntegerField(null=True)),
                ('cost_usd', models.DecimalField(decimal_places=18, max_digits=30, null=True)),
                ('file', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='statements', to='usage.statementfile')),
            ],
            options={
                'db_table': 'provider_statement',
            },
        ),
        migrations.AddConstraint(
            model_name='statementfile',
            constraint=models.CheckConstraint(condition=models.Q(('first_day__lte', models.F('last_day'))), name='usage_statementfile_days'),
        ),
        migrations.AddConstraint(
            model_name='statementfile',
            constraint=models.UniqueConstraint(condition=models.Q(('withdrawn_at__isnull', True)), fields=('format', 'account', 'sha256'), name='usage_statementfile_once'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='statementfile',
            trigger=pgtrigger.compiler.Trigger(name='audited', sql=pgtrigger.compiler.UpsertTriggerSql(func='PERFORM core_audit_write(TG_TABLE_NAME, TG_OP, to_jsonb(OLD), to_jsonb(NEW)); RETURN NULL;', hash='dfd037e4656f5589dba3639ef35a35e42c4be91d', operation='INSERT OR UPDATE OR DELETE', pgid='pgtrigger_audited_d57e2', table='usage_statementfile', when='AFTER')),
        ),
        migrations.AddIndex(
            model_name='providerstatement',
            index=models.Index(fields=['day', 'provider'], name='usage_statement_day'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='providerstatement',
            trigger=pgtrigger.compiler.Trigger(name='provider_statement_row', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';", hash='a54658a958b9a6bbdf8d24ee40ea17e1bc026f30', operation='UPDATE OR DELETE', pgid='pgtrigger_provider_statement_row_29096', table='provider_statement', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='providerstatement',
            trigger=pgtrigger.compiler.Trigger(name='provider_statement_all', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';", hash='e176af952d9474d6d7f102864429ce8591f54844', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_provider_statement_all_2cbd3', table='provider_statement', when='BEFORE')),
        ),
    ]
