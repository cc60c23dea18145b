"""Say of a body that it carried prompts, so that whoever connects a gateway hears that they are sent."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("usage", "0012_receipts_looked_after"),
    ]

    operations = [
        migrations.AddField(
            model_name="receipt",
            name="carried_prompts",
            field=models.BooleanField(db_default=False),
        ),
    ]
