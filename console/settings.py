"""Django's settings. Every value that differs between installations comes from the environment, read by `console.env`.

DEBUG has no switch: Django's debug page prints the variables of a failed request, and a prompt could be among them.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy
from psycopg.conninfo import conninfo_to_dict

from billing import schedule as billing_schedule
from console import env
from console.mail_server import mail_settings
from gateway.pools import schedule as pools_schedule
from gateway.relay.limits import limits_from_environment
from identity import schedule as identity_schedule
from identity.client_address import parse_networks

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(env.text("BEFFROI_HOME", str(BASE_DIR / ".beffroi"))).resolve()

DEBUG = False
SECRET_KEY = env.secret("BEFFROI_SECRET_KEY")
# Number -> 32 bytes; the highest number is the current one. Peppers make API keys useless to a thief of the database
# alone; encryption keys protect the secrets that we must be able to read back.
KEY_PEPPERS = env.keyring("BEFFROI_KEY_PEPPERS")
ENCRYPTION_KEYS = env.keyring("BEFFROI_ENCRYPTION_KEYS")
AUDIT_KEYS = env.keyring("BEFFROI_AUDIT_KEYS")  # Ed25519; they sign the audit chain's checkpoints

# Ed25519; they sign what nodes are told. Without one there are no nodes, and an installation of before needs none.
COMMAND_KEYS = env.keyring("BEFFROI_COMMAND_KEYS") if env.secret_in(os.environ, "BEFFROI_COMMAND_KEYS") else {}

# Whose X-Forwarded-For is believed. The gateway has checked it already and adds its peer.
TRUSTED_PROXIES = parse_networks(env.words("BEFFROI_TRUSTED_PROXIES"))

PUBLIC_URL = env.web_address("BEFFROI_PUBLIC_URL", f"http://127.0.0.1:{env.text('BEFFROI_PORT', '8000')}")
_served_over_tls = PUBLIC_URL.startswith("https://")
# Where the operator's console answers; where it is another host than the public one, it answers nowhere else.
OPERATOR_URL = env.web_address("BEFFROI_OPERATOR_URL", PUBLIC_URL)
_hosts = {str(urlsplit(url).hostname) for url in (PUBLIC_URL, OPERATOR_URL)}
ALLOWED_HOSTS = sorted(_hosts | {"localhost", "127.0.0.1", "[::1]"})
CSRF_TRUSTED_ORIGINS = sorted({PUBLIC_URL, OPERATOR_URL})
# Where the gateways listen, for the one page that calls them (Try it): this machine, unless Django runs on another.
GATEWAY_URL = env.web_address("BEFFROI_GATEWAY_URL", env.own_address())
TRUSTED_PROXIES = env.networks("BEFFROI_TRUSTED_PROXIES")

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "identity",
    "models_catalog",
    "billing",
    "gateway.pools",
    "console",
]
AUTH_USER_MODEL = "identity.Person"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.middleware.MetricsMiddleware",
    "console.operator_site.OperatorSite",
    "console.middleware.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "console.audit_door.AuditDoor",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "console.middleware.OfferedLanguagesMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "console.sign_in.middleware.SignedInMiddleware",
    "console.sign_in.middleware.SilentCheckMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.middleware.PermissionsPolicyMiddleware",
]
ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
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
                "console.shell.context",
            ],
        },
    },
]


def _database(url: str) -> dict[str, Any]:
    """Django's form of a PostgreSQL address; what Django has no name for goes to psycopg as it is."""
    parts = conninfo_to_dict(url)
    known = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    settings: dict[str, Any] = {name: str(parts.pop(key, None) or "") for name, key in known.items()}
    # 8 connections a process: with 2 processes of ours and the ledger's own, far below PostgreSQL's usual limit of 100.
    # Waiting longer than 10 s for one means that the database is in trouble: say so instead of piling up.
    pool = {"min_size": 0, "max_size": 8, "timeout": 10, "max_idle": 300}
    # Checked before each use: after a restart of PostgreSQL all kept ones are dead, and as many pages would fail.
    return {
        "ENGINE": "django.db.backends.postgresql",
        **settings,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**parts, "pool": pool},
    }


DATABASES = {"default": _database(env.secret("DATABASE_URL"))}
VALKEY_URL = env.secret("VALKEY_URL")
NODE_BROKER_URL = env.text("BEFFROI_NODE_BROKER_URL", VALKEY_URL)  # where nodes reach it, without a user
RABBITMQ_MANAGEMENT_URL = env.secret_in(os.environ, "RABBITMQ_MANAGEMENT_URL")  # beside its broker where not set

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", gettext_lazy("English")), ("fr", gettext_lazy("French")), ("es", gettext_lazy("Spanish"))]
LOCALE_PATHS = [BASE_DIR / "locale"]

STATIC_URL = "static/"
STATICFILES_DIRS = [directory for directory in [BASE_DIR / "static"] if directory.is_dir()]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "console.static_files.PackageFinder",
]
# `make up` collects them, compressed and under names that change with the content; without that (in tests) they are
# served as they lie in static/ and in the packages.
STATIC_ROOT = HOME / "static"
_are_collected = env.switch("BEFFROI_STATIC_IS_COLLECTED", default=False)
_STATIC_FILES = "django.contrib.staticfiles.storage.StaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # nobody uploads files
    "staticfiles": {"BACKEND": "console.static_files.CollectedStorage" if _are_collected else _STATIC_FILES},
}
WHITENOISE_USE_FINDERS = not _are_collected

# Whom people ask for help, until Settings say it (`identity/service.py`).
SUPPORT_CONTACT = env.text("BEFFROI_SUPPORT_CONTACT", "")

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _served_over_tls
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600  # seconds; a working day, after which a person signs in again
# Who does nothing for so long is signed out (an hour: NIST SP 800-63B-4, 2.2.3).
SESSION_IDLE = timedelta(minutes=env.integer("BEFFROI_SESSION_IDLE_MINUTES", 60, minimum=5, maximum=720))
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _served_over_tls else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False  # the organisation's other hosts are not ours to decide about
# Only the gateway can reach Django's socket, and it sets this header itself.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024  # bytes; the management API takes small JSON, inference never comes here
# Nothing is written to temporary files: a prompt sent to a wrong address would be (I5). As much as the gateway lets by.
FILE_UPLOAD_MAX_MEMORY_SIZE = limits_from_environment(os.environ).page_body_bytes
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "ENUM_NAME_OVERRIDES": {"NodeServiceEnum": ["in", "cordoned", "draining"]},
    "TITLE": "Beffroi",
    "DESCRIPTION": "Keys, usage, budgets and models of a self-hosted LLM service.",
    "VERSION": "1",
}

CELERY_BROKER_URL = VALKEY_URL
# Without it kombu does not look at the name in RabbitMQ's certificate; of several hosts it takes one.
_is_named = VALKEY_URL.startswith("amqps:") and ";" not in VALKEY_URL
CELERY_BROKER_USE_SSL = {"server_hostname": None} if _is_named else False
CELERY_TASK_IGNORE_RESULT = True  # what a task found out is in PostgreSQL, never in the broker
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # it waits for its broker as long as it takes
CELERY_TASK_TIME_LIMIT = 600  # seconds; a stuck task is ended and may run again
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_MAX_LOOP_INTERVAL = 2  # seconds; the clock sees only between two looks at its schedule that it is to stop
CELERY_BEAT_SCHEDULE = {
    **pools_schedule.BEAT_SCHEDULE,
    **identity_schedule.BEAT_SCHEDULE,
    **billing_schedule.BEAT_SCHEDULE,
}

AUTHENTICATION_BACKENDS = ["console.sign_in.backend.ProviderBackend"]
# How often the provider is asked, without a word to the person, whether it still vouches for a session; 0: never.
SESSION_CHECK = timedelta(minutes=env.integer("BEFFROI_SESSION_CHECK_MINUTES", 60, minimum=0, maximum=1440))
# Hosts of identity providers that may have private addresses and speak plain HTTP: those in the house.
PRIVATE_PROVIDER_HOSTS = frozenset(host.lower() for host in env.words("BEFFROI_PRIVATE_PROVIDER_HOSTS"))

# Whole months for which usage records stay in the ledger after their own, until Settings say it; then the sealed totals
# may stand in for them.
USAGE_RETENTION_MONTHS = env.integer("BEFFROI_USAGE_RETENTION_MONTHS", 13, minimum=1, maximum=240)

# Where e-mails go: EMAIL_HOST and the rest, as Django reads them. Without a mail server none are made.
_mail = mail_settings()
globals().update(_mail)
MAIL_IS_SET_UP: bool = bool(_mail)
# Whether webhooks may lead to private addresses (and speak plain HTTP): they are entered by tenants.
WEBHOOKS_MAY_BE_PRIVATE = env.switch("BEFFROI_PRIVATE_WEBHOOKS", default=False)

# To stderr, which the supervisor (or systemd, or a container) keeps, and without a word of any request (I5). And to the
# machine's spool, from which the worker sends lines to the operator's collectors.
PROCESS = env.text("BEFFROI_PROCESS", "command")
LOG_SPOOL = env.text("BEFFROI_LOG_SPOOL", "")
# Where this machine's gateway processes leave their counts; Django adds them up at /metrics.
METRICS_FOLDER = Path(_folder) if (_folder := env.text("BEFFROI_METRICS_FOLDER", "")) else None
_log_format = env.choice("BEFFROI_LOG_FORMAT", "text", among=("text", "json"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "class": "identity.log_words.WordlessFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        },
        "json": {"()": "identity.log_words.JsonFormatter", "process": PROCESS},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": _log_format},
        "spool": {"class": "identity.log_spool.SpoolHandler", "folder": LOG_SPOOL, "process": PROCESS}
        if LOG_SPOOL
        else {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["stderr", "spool"], "level": "INFO"},
    "loggers": {
        # Django's own handlers would mail the error report of a request, variables included.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # The terminal has it already, in other words.
        "beffroi.supervisor": {"handlers": ["spool"], "propagate": False},
    },
}
