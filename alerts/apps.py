from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        from alerts.gauges import measure
        from core import gauges

        gauges.measured_by(measure)
