"""The web process's callable, served by Granian."""

import os

from django.core.wsgi import get_wsgi_application

from controlplane import memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
application = get_wsgi_application()
memory.settle()
