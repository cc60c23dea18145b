from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        from budgets.services import crossings
        from usage.selectors import drivers

        crossings.explained_by(drivers.explain)
