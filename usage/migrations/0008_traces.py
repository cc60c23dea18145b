"""Remember which calls of a trace were booked, and tell of events that another counts for."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0007_find_unpriced_sums'),
    ]

    operations = [
        migrations.AddField(
            model_name='receipt',
            name='superseded',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.CreateModel(
            name='Trace',
            fields=[
                ('pk', models.CompositePrimaryKey('source', 'trace_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('trace_id', models.CharField(max_length=32)),
                ('spans', models.BinaryField(default=b'')),
                ('touched_at', models.DateTimeField()),
                ('source', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='usage.source')),
            ],
            options={
                'db_table': 'usage_trace',
            },
        ),
        migrations.AddIndex(
            model_name='trace',
            index=models.Index(fields=['touched_at'], name='usage_trace_age'),
        ),
    ]
