"""Django alone, for `runserver` and the like; the web process serves `rsgi.py`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
application = get_wsgi_application()

# What follows needs Django's settings.
from django.conf import settings  # noqa: E402

from core import statements  # noqa: E402

statements.limit(seconds=settings.STATEMENT_SECONDS)
