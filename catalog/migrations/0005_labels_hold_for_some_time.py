from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0004_price_book"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="teamalias",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid__isempty", False)), name="catalog_teamalias_not_empty"
            ),
        ),
        migrations.AddConstraint(
            model_name="usecasealias",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid__isempty", False)), name="catalog_usecasealias_not_empty"
            ),
        ),
    ]
