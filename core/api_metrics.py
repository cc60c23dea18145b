"""/metrics for Prometheus, to whoever may read it.

Being on the loopback is no proof: behind a proxy on the same machine everybody is. Prometheus sends a key instead:

    authorization: {credentials: KEY}     # of a key with the scope `read`
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from core import gauges


@extend_schema(exclude=True)
class MetricsApi(APIView):
    actions: ClassVar[dict[str, str]] = {"GET": "metrics.read"}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # Prometheus asks for text in its own words, which are not among the JSON API's.
        return super().perform_content_negotiation(request, force=True)

    def get(self, request: Request) -> HttpResponse:
        answer: HttpResponse = ExportToDjangoView(request._request)
        answer.write(gauges.as_text(at=timezone.now()))
        return answer
