"""Every address of the house: health, the API, sign-in, the console."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from catalog.api_price_map import PriceMapApi
from controlplane import health
from controlplane.mcp.api import McpApi
from core.api import no_such_path
from core.api_metrics import MetricsApi
from routing.api_s3 import S3ObjectApi
from usage import api_otlp as otlp
from usage.api_promptlayer import LogRequestApi

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", MetricsApi.as_view(), name="metrics"),
    path("api/v1/", include("controlplane.api_urls")),
    # The description of the API is no secret, and whoever connects a gateway reads it before she has a key.
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(template_name="core/api_docs.html"), name="api-docs"),
    re_path(r"^api(/.*)?$", no_such_path),
    # Where other systems' SDKs send to, once they are told our address in place of their own.
    path("v1/traces", otlp.OtlpTracesApi.as_view(schema=None), name="otlp-traces"),
    path("v1/metrics", otlp.OtlpMetricsApi.as_view(schema=None), name="otlp-metrics"),
    path("v1/logs", otlp.OtlpLogsApi.as_view(schema=None), name="otlp-logs"),
    path("log-request", LogRequestApi.as_view(), name="promptlayer-log-request"),
    path("mcp", McpApi.as_view(schema=None), name="mcp"),
    path("price-maps/<str:token>/litellm.json", PriceMapApi.as_view(schema=None), name="price-map-litellm"),
    path("s3/<str:bucket>/<path:key>", S3ObjectApi.as_view(schema=None), name="s3-object"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
if find_spec("dashboards.urls"):
    urlpatterns.append(path("", include("dashboards.urls")))
    handler400 = "dashboards.views.errors.bad_request"
    handler403 = "dashboards.views.errors.permission_denied"
    handler404 = "dashboards.views.errors.page_not_found"
    handler500 = "dashboards.views.errors.server_error"
