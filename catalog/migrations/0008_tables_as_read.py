"""LiteLLM's table of prices as it was read: proxies fetch it from here, with our prices in it."""


from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0007_gateways_take_rules'),
    ]

    operations = [
        migrations.AddField(
            model_name='sourcetable',
            name='content',
            field=models.BinaryField(null=True),
        ),
    ]
