"""What a tenant is offered: the catalog's models with price, speed and life, and what a reader looks for among them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from billing.models.prices import Mode
from billing.prices.visibility import as_seen_by
from billing.pricing import Prices
from billing.usage.speeds import Speed, speeds_today
from console.catalog_words import language_name, word_of
from gateway.api.catalog_view import CatalogView, Price, catalog_view
from identity.models import Tenant
from models_catalog.lifecycle import Lifecycle
from models_catalog.models import LanguageModel


@dataclass(frozen=True, slots=True)
class Offered:
    """A model as a tenant sees it. `price` None: it has none here; `coming`: those that follow it;
    `speed` None: nobody called it today.
    """

    model: LanguageModel
    lifecycle: Lifecycle
    price: Price | None
    coming: Sequence[Price]
    speed: Speed | None
    aliases: tuple[str, ...]
    is_served: bool
    is_simulated: bool
    is_callable: bool

    @property
    def prices(self) -> Prices | None:
        """In the form that arithmetic takes."""
        return self.price.prices if self.price else None

    @property
    def main_prices(self) -> list[tuple[str, int]]:
        """Meter and price (nano-EUR a million units) of what costs something, the main ones first."""
        return [(meter, nano) for meter, nano in self.price.nano_eur_per_million.items() if nano] if self.price else []

    @property
    def is_tried_here(self) -> bool:
        """Whether one can talk to it on its page."""
        return self.is_callable and self.model.kind == LanguageModel.Kind.CHAT

    @property
    def ends_on(self) -> date | None:
        """When it is taken away, where that is known."""
        return self.model.retired_on


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for; empty ones do not narrow. `everything`: also what cannot be called now."""

    text: str = ""
    use: str = ""
    modality: str = ""
    family: str = ""
    language: str = ""
    everything: bool = False

    def fits(self, one: Offered) -> bool:
        """Whether the model is wanted."""
        model = one.model
        return (
            (self.everything or one.is_callable)
            and self.use in ("", *model.use_cases)
            and self.modality in ("", *model.modalities)
            and self.family in ("", model.family)
            and self.language in ("", *model.languages)
            and all(word in _searched(one) for word in self.text.lower().split())
        )


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters offer: (value, word) by what there is in the offer."""

    use: list[tuple[str, str]]
    modality: list[tuple[str, str]]
    family: list[tuple[str, str]]
    language: list[tuple[str, str]]


def offer_to(tenant: Tenant) -> list[Offered]:
    """The whole catalog as the tenant sees it: what it may call first, then by title."""
    models = as_seen_by(tenant, LanguageModel.objects.order_by("title"))
    offered = _offered(tenant, models)
    return sorted(offered, key=lambda one: (not one.is_callable, not one.is_served))


def offered_model(tenant: Tenant, name: str) -> Offered | None:
    """One model by its id; None where none exists for the tenant."""
    models = as_seen_by(tenant, LanguageModel.objects.filter(name=name))
    return next(iter(_offered(tenant, models)), None)


def choices_of(offer: Iterable[Offered]) -> Choices:
    """The values that filters can have, each once, in the order of their words."""
    models = [one.model for one in offer]
    return Choices(
        use=_choices((word for model in models for word in model.use_cases), word_of),
        modality=_choices((word for model in models for word in model.modalities), word_of),
        family=_choices((model.family for model in models), str),
        language=_choices((code for model in models for code in model.languages if code != "mul"), language_name),
    )


def _offered(tenant: Tenant, models: Sequence[LanguageModel]) -> list[Offered]:
    view, speeds = catalog_view(tenant, models), speeds_today()
    return [_one(view, speeds.get(model.pk), model) for model in models]


def _one(view: CatalogView, speed: Speed | None, model: LanguageModel) -> Offered:
    return Offered(
        model=model,
        lifecycle=view.lifecycle(model),
        price=view.standard_price(model),
        coming=[price for price in view.coming.get(model.pk, ()) if price.mode == Mode.STANDARD],
        speed=speed,
        aliases=(*view.aliases.get(model.pk, ()), *view.own_aliases.get(model.pk, ())),
        is_served=model.pk in view.served,
        is_simulated=model.pk in view.simulated,
        is_callable=view.is_callable(model),
    )


def _searched(one: Offered) -> str:
    model = one.model
    return " ".join((model.name, model.title, model.family, model.publisher, *one.aliases)).lower()


def _choices(values: Iterable[str], word: Callable[[str], str]) -> list[tuple[str, str]]:
    return sorted(((value, word(value)) for value in set(values)), key=lambda choice: choice[1].lower())
