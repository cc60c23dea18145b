from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0003_schedules_orders_reports'),
    ]

    operations = [
        migrations.AddField(
            model_name='gatewaypoll',
            name='pause_ms',
            field=models.PositiveIntegerField(null=True),
        ),
    ]
