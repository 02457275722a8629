"""What uvicorn serves on a Unix socket, behind the gateway: pages and the management API."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

application = get_asgi_application()
