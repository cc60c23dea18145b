"""How long the ledger and what came in are kept."""


from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0003_first_rows'),
    ]

    operations = [
        migrations.AddField(
            model_name='organisation',
            name='keep_ledger_months',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='organisation',
            name='keep_receipts_days',
            field=models.PositiveSmallIntegerField(db_default=90),
        ),
        migrations.AddConstraint(
            model_name='organisation',
            constraint=models.CheckConstraint(condition=models.Q(('keep_ledger_months__isnull', True), ('keep_ledger_months__gte', 12), _connector='OR'), name='core_organisation_keeps_a_year'),
        ),
    ]
