"""All columns of sealed secrets of the installation, the engines' keys among them."""

from gateway.pools.fleet.broker_users import password_context
from gateway.pools.fleet_tables import Node
from gateway.pools.models import Replica
from gateway.pools.registry import secret_context
from identity import sealed_secrets
from identity.sealed_secrets import SealedColumn

COLUMNS = (
    *sealed_secrets.COLUMNS,
    SealedColumn(Replica.objects, "sealed_api_key", secret_context),
    SealedColumn(Node.objects, "sealed_broker_password", password_context),
)
