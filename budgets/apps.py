from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"

    def ready(self) -> None:
        from budgets.gauges import measure
        from core import gauges

        gauges.measured_by(measure)
