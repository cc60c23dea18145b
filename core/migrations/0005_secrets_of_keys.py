"""What gateways that read from S3 sign their requests with."""


from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0004_retention'),
    ]

    operations = [
        migrations.AddField(
            model_name='apikey',
            name='secret',
            field=models.BinaryField(null=True),
        ),
    ]
