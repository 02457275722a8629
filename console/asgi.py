"""What uvicorn serves on a Unix socket, behind the gateway: pages, the management API and the sockets of live pages."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

_pages = get_asgi_application()  # before what needs Django's apps

from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.urls import get_resolver  # noqa: E402

from console.live.routes import sockets  # noqa: E402
from console.operator_site import URLS  # noqa: E402

# Every view is loaded now: the first visitor does not wait for it, and a server that cannot answer does not start.
_ = get_resolver().url_patterns, get_resolver(URLS).url_patterns

application = ProtocolTypeRouter({"http": _pages, "websocket": sockets})
