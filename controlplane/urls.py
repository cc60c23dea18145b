"""Addresses of the house."""

from django.urls import path

from controlplane.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
]
