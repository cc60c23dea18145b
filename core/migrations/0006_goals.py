"""How many requests should be answered on the frontier and on open weights."""

from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0005_secrets_of_keys'),
    ]

    operations = [
        migrations.AddField(
            model_name='organisation',
            name='frontier_goal_from_percent',
            field=models.DecimalField(db_default=Decimal('5'), decimal_places=1, max_digits=4),
        ),
        migrations.AddField(
            model_name='organisation',
            name='frontier_goal_percent',
            field=models.DecimalField(db_default=Decimal('10'), decimal_places=1, max_digits=4),
        ),
        migrations.AddField(
            model_name='organisation',
            name='open_weights_goal_percent',
            field=models.DecimalField(db_default=Decimal('30'), decimal_places=1, max_digits=4),
        ),
        migrations.AddConstraint(
            model_name='organisation',
            constraint=models.CheckConstraint(condition=models.Q(('frontier_goal_from_percent__gte', 0), ('frontier_goal_from_percent__lte', models.F('frontier_goal_percent')), ('frontier_goal_percent__lte', 100), ('open_weights_goal_percent__gte', 0), ('open_weights_goal_percent__lte', 100)), name='core_organisation_goals_are_shares'),
        ),
    ]
