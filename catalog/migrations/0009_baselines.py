"""The one model that savings of a use case are told against."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0008_tables_as_read'),
    ]

    operations = [
        migrations.AddField(
            model_name='usecase',
            name='baseline',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.offering'),
        ),
    ]
