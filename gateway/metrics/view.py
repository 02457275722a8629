"""`/metrics`: for an operator's key with the scope `metrics:read`, and for nobody else."""

import hashlib
import logging
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from gateway.metrics.exposition import CONTENT_TYPE, exposition
from gateway.metrics.from_database import database_answers, database_figures
from gateway.metrics.from_gateways import gateway_figures
from gateway.relay.counts import Series
from identity.errors import KeyRefused
from identity.key_format import parse_operator_key
from identity.operator_keys import LIVE_MAX, authenticate_operator_key
from identity.operators import scopes_of_operator_key
from identity.scopes import OperatorScope

logger = logging.getLogger("beffroi.metrics")

# While the database is away a key that was good counts for so long: just then the metrics are needed.
REMEMBERED_SECONDS = 24 * 3600
_good_until: dict[bytes, float] = {}


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All figures; to strangers the address does not exist."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or parse_operator_key(text.strip()) is None:
        return HttpResponse(status=404)
    is_up = database_answers()
    if not _may_read(text.strip(), is_up=is_up):
        return HttpResponse(status=404)
    figures = gateway_figures(settings.METRICS_FOLDER) if settings.METRICS_FOLDER is not None else []
    if is_up:
        try:
            figures += database_figures()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the database does not tell its figures: %s", type(error).__name__)
            is_up = False
    figures.append(Series("beffroi_database_up", (), is_up))
    return HttpResponse(exposition(figures), content_type=CONTENT_TYPE)


def _may_read(text: str, *, is_up: bool) -> bool:
    """Whether the key is good; what was found is remembered for when nobody can look it up."""
    digest = hashlib.sha256(text.encode()).digest()
    if not is_up:
        return _good_until.get(digest, 0.0) > time.monotonic()
    try:
        key = authenticate_operator_key(text, now=timezone.now())
    except KeyRefused:
        _good_until.pop(digest, None)
        return False
    if OperatorScope.METRICS_READ not in scopes_of_operator_key(key):
        return False
    if len(_good_until) >= LIVE_MAX:
        _good_until.clear()
    _good_until[digest] = time.monotonic() + REMEMBERED_SECONDS
    return True
