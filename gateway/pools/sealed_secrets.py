"""All columns of sealed secrets of the installation, the engines' keys among them."""

from gateway.pools.models import Replica
from gateway.pools.registry import secret_context
from identity import sealed_secrets
from identity.sealed_secrets import SealedColumn

COLUMNS = (*sealed_secrets.COLUMNS, SealedColumn(Replica.objects, "sealed_api_key", secret_context))
