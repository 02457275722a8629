"""`manage.py load_prices`: the reference prices for every model of the catalog, and the tiers. Runs at every start."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.contracts.tiers import load_tiers
from billing.models import PriceVersion
from billing.prices.price_book import load_prices
from identity.audit import Actor
from identity.errors import IdentityError
from models_catalog.models import LanguageModel


class Command(BaseCommand):
    help = "Load the reference prices and the tiers; what is there already stays as it is."

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("load_prices")
        try:
            added = load_prices(actor=actor)
            tiers = load_tiers(actor=actor)
        except IdentityError as error:
            raise CommandError(f"The prices were not loaded: {error}") from None
        self.stdout.write(f"Prices: {len(added)} added. Tiers: {', '.join(tiers) or 'none'} changed.")
        priced = PriceVersion.objects.values("model_id")
        for name in LanguageModel.objects.exclude(pk__in=priced).order_by("name").values_list("name", flat=True):
            self.stdout.write(f"{name} has no price: requests for it are refused.")
