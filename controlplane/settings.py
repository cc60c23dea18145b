"""Settings of the house, read from the environment; `.env.example` lists every variable.

Where DATABASE_URL or REDIS_URL is not set, the embedded servers of the data directory are used, if they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from csp.constants import NONE, SELF
from kombu import Queue

from controlplane.embedded import discovery
from controlplane.env import Environment

BASE_DIR = Path(__file__).resolve().parent.parent

_bare = Environment()
DATA_DIR = discovery.data_dir(_bare.text("TOLLKEEPER_DATA_DIR", "") or None)
env = Environment(defaults=discovery.defaults(DATA_DIR))

SECRET_KEY = env.text("TOLLKEEPER_SECRET_KEY")
ENCRYPTION_KEYS = env.words("TOLLKEEPER_ENCRYPTION_KEYS")  # Fernet keys; the first encrypts, all decrypt
# The seed of the Ed25519 key that rules are signed with; without one they are not signed.
SIGNING_KEY = env.key("TOLLKEEPER_SIGNING_KEY", "")
DEBUG = env.flag("TOLLKEEPER_DEBUG", False)
ALLOWED_HOSTS = env.words("TOLLKEEPER_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
BASE_URL = env.url("TOLLKEEPER_BASE_URL", ("http", "https"), "http://127.0.0.1:8000").rstrip("/")
LOG_LEVEL = env.text("TOLLKEEPER_LOG_LEVEL", "INFO").upper()

# The two halves of back pressure, in events that wait to be booked. LiteLLM drops its queue on a 4xx, so it is
# slowed later, and with 503.
BACKLOG_EVENTS = env.integer("TOLLKEEPER_BACKLOG_EVENTS", 500_000, at_least=1)
BACKLOG_EVENTS_LITELLM = env.integer("TOLLKEEPER_BACKLOG_EVENTS_LITELLM", 1_000_000, at_least=1)
# How long a statement of a web process may run; 0: as long as it takes.
STATEMENT_SECONDS = env.integer("TOLLKEEPER_STATEMENT_SECONDS", 30, at_least=0)
MAX_BODY_BYTES = env.integer("TOLLKEEPER_MAX_BODY_BYTES", 64 * 1024 * 1024, at_least=1024)
# Webhooks may lead to http and to addresses of our own networks: for a chat server behind the same wall.
ALLOW_INTERNAL_WEBHOOKS = env.flag("TOLLKEEPER_ALLOW_INTERNAL_WEBHOOKS", False)
SLACK_API_URL = env.text("TOLLKEEPER_SLACK_API_URL", "https://slack.com/api").rstrip("/")  # another one for GovSlack

INSTALLED_APPS = [
    "core",
    "catalog",
    "alerts",
    "budgets",
    "usage",
    "routing",
    "dashboards",
    "controlplane",
    "core.administration.AdministrationConfig",  # django.contrib.admin, with our rules of who may do what
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
    "django_htmx",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "rest_framework",
    "rules.apps.AutodiscoverRulesConfig",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "core.requests.RequestIds",
    # Before whatever answers by itself: redirects and refusals carry the policy, too.
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.requests.CompressedPages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "dashboards.views.errors.SlowStatements",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboards.context.console",
            ],
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = query.pop("host", None) or unquote(parts.hostname or "")
    port = query.pop("port", None) or (str(parts.port) if parts.port else "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        # Every connection speaks UTC; zones belong to budgets and to the organisation.
        "OPTIONS": {"prepare_threshold": 5, "application_name": "tollkeeper", "connect_timeout": 5, **query},
    }


DATABASE_URL = env.url("DATABASE_URL", ("postgres", "postgresql"))
REDIS_URL = env.url("REDIS_URL", ("redis", "rediss", "unix"))
DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "core.cache.TolerantRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "tollkeeper",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}
# Sessions live in PostgreSQL: Redis never holds the sole copy of anything.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 14 * 24 * 3600

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = [
    "rules.permissions.ObjectPermissionBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "core.accounts.ClosedSignup"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True

EMAIL_URL = env.url("TOLLKEEPER_EMAIL_URL", ("smtp", "smtps", "console"), "console:")
_email = urlsplit(EMAIL_URL)
EMAIL_BACKEND = (
    "django.core.mail.backends.console.EmailBackend"
    if _email.scheme == "console"
    else "django.core.mail.backends.smtp.EmailBackend"
)
EMAIL_HOST = _email.hostname or "localhost"
EMAIL_PORT = _email.port or (465 if _email.scheme == "smtps" else 25)
EMAIL_HOST_USER = unquote(_email.username or "")
EMAIL_HOST_PASSWORD = unquote(_email.password or "")
EMAIL_USE_SSL = _email.scheme == "smtps"
EMAIL_USE_TLS = parse_qs(_email.query).get("starttls", ["0"])[0] in {"1", "true"}
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("TOLLKEEPER_EMAIL_FROM", "Tollkeeper <tollkeeper@localhost>")

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static-root"
# The console decides in the browser by the client that gateways use, from its own files.
STATICFILES_DIRS = [("client", BASE_DIR / "clients" / "javascript" / "src")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "controlplane.static.ModuleStorage"},
}

# The ingest edge checks sizes itself, after decompression: Django's own limit of 2.5 MB is below a LiteLLM batch.
DATA_UPLOAD_MAX_MEMORY_SIZE = None

BEHIND_TLS = env.flag("TOLLKEEPER_BEHIND_TLS", False)
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
CSRF_TRUSTED_ORIGINS = [BASE_URL]
CSRF_FAILURE_VIEW = "dashboards.views.errors.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "core.api.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["core.api.Allowed"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "core.api_views.Schema",
    "EXCEPTION_HANDLER": "core.api.problem_details",
    "COERCE_DECIMAL_TO_STRING": True,
    "DATETIME_FORMAT": "iso-8601",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tollkeeper",
    "DESCRIPTION": "Cost-governance control plane for LLM routing. Money is a decimal string in USD, instants are "
    "RFC 3339 in UTC, periods are half-open, errors are RFC 9457 problem details.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["core.api_views.problems_in_schema"],
}

# Celery has names of its own for a socket and for the database behind it.
CELERY_BROKER_URL = (
    REDIS_URL.replace("unix:", "redis+socket:", 1).replace("?db=", "?virtual_host=", 1)
    if REDIS_URL.startswith("unix:")
    else REDIS_URL
)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "background"
CELERY_TASK_QUEUES = [Queue("intake"), Queue("alerts"), Queue("background")]
CELERY_TASK_ROUTES = {
    "usage.tasks.book_pending": {"queue": "intake"},
    "alerts.tasks.*": {"queue": "alerts"},
    # Short, and told late behind a long job of the background.
    "usage.tasks.look_for_silence": {"queue": "alerts"},
    "usage.tasks.look_at_time": {"queue": "alerts"},
    "usage.tasks.look_ahead": {"queue": "alerts"},
    "usage.tasks.watch_*": {"queue": "alerts"},
    "routing.tasks.look_at_fleet": {"queue": "alerts"},
    "routing.tasks.publish_due": {"queue": "alerts"},
    "routing.tasks.look_at_reviews": {"queue": "alerts"},
    "budgets.tasks.look_at_canary": {"queue": "alerts"},
    "dashboards.tasks.send_digests": {"queue": "alerts"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONSUMER = "controlplane.consuming:SteadyConsumer"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 1}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# A nudge carries nothing: what must be done is a row, and these sweeps find the rows that no nudge reached.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # A sweep that nobody took up in time is overtaken by the next.
    "sweep-receipts": {"task": "usage.tasks.book_pending", "schedule": 2.0, "options": {"expires": 2}},
    "sweep-deliveries": {"task": "alerts.tasks.deliver_due", "schedule": 2.0, "options": {"expires": 2}},
    "sweep-jobs": {"task": "usage.tasks.run_jobs", "schedule": 5.0, "options": {"expires": 5}},
    "look-at-budgets": {"task": "usage.tasks.look_at_time", "schedule": 30.0, "options": {"expires": 30}},
    "look-ahead": {"task": "usage.tasks.look_ahead", "schedule": 300.0, "options": {"expires": 300}},
    "look-at-fleet": {"task": "routing.tasks.look_at_fleet", "schedule": 5.0, "options": {"expires": 5}},
    "forget-polls": {"task": "routing.tasks.forget_polls", "schedule": 3600.0, "options": {"expires": 3600}},
    "look-for-silence": {"task": "usage.tasks.look_for_silence", "schedule": 60.0, "options": {"expires": 60}},
    "watch-spending": {"task": "usage.tasks.watch_spending", "schedule": 600.0, "options": {"expires": 600}},
    "watch-frontier": {"task": "usage.tasks.watch_frontier", "schedule": 600.0, "options": {"expires": 600}},
    "watch-prices": {"task": "usage.tasks.watch_prices", "schedule": 600.0, "options": {"expires": 600}},
    "publish-scheduled": {"task": "routing.tasks.publish_due", "schedule": 5.0, "options": {"expires": 5}},
    "look-at-reviews": {"task": "routing.tasks.look_at_reviews", "schedule": 60.0, "options": {"expires": 60}},
    "look-at-canary": {"task": "budgets.tasks.look_at_canary", "schedule": 120.0, "options": {"expires": 120}},
    "renew-orders": {"task": "routing.tasks.renew_orders", "schedule": 300.0, "options": {"expires": 300}},
    "send-digests": {"task": "dashboards.tasks.send_digests", "schedule": 120.0, "options": {"expires": 120}},
    "keep-house": {"task": "usage.tasks.keep_house", "schedule": 3600.0, "options": {"expires": 3600}},
}

LOGGING_CONFIG = "core.logs.configure"
LOGGING = {"level": LOG_LEVEL}
