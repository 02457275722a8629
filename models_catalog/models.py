"""Tables of the catalog: one description of each model feeds the API, the console, the docs and the status page."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _

from identity.models import Tenant

# Ids travel in URLs, headers and JSON as they are: nothing in them may need quoting.
valid_model_name = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._:/@+-]*\Z", _("Use letters, digits and . _ : / @ + - only.")
)


class LanguageModel(models.Model):
    """A language model as it is described to those who call it. `name` is the id in the API (it may hold `:` and `/`).

    `context_window`, `default_max_output` and `template_overhead_*` are in tokens; a `media_max_tokens` entry is the
    most tokens that one part of that kind (`image`, `audio`, `video`) can become. `parameters_*` are in billions; of
    a mixture of experts, a token uses the active ones. `modalities` are what it takes, `languages` ISO 639 codes
    (`mul`: more than those listed), `location` an ISO 3166 country. The lifecycle dates are `released_on`,
    `stable_until` (a stable version is fixed that long), `deprecated_on` and `retired_on` (the sunset); each begins
    at midnight UTC. Their rules: `loading`, `lifecycle`.

    `visibility`: who sees it at all; to others it does not exist. With CHOSEN these are the tenants whose contract is
    of one of `visible_tiers` and those of `visible_tenants` (ids; the verbs are in `billing/prices/visibility.py`).
    `published_at`: since when the operator promises that it answers, so that it is probed; empty: not yet.
    `target_answered` (hundredths of a percent of the minutes) and `target_first_token_ms`: what the operator aims at
    (`gateway/pools/targets.py`); empty: nothing.
    """

    class Kind(models.TextChoices):
        CHAT = "chat", _("chat")
        EMBEDDING = "embedding", _("embedding")
        RERANK = "rerank", _("reranking")
        TRANSCRIPTION = "transcription", _("transcription")
        IMAGE = "image", _("image generation")

    class Channel(models.TextChoices):
        STABLE = "stable", _("stable")
        EXPERIMENTAL = "experimental", _("experimental")

    class Visibility(models.TextChoices):
        EVERYBODY = "everybody", _("everybody")
        CHOSEN = "chosen", _("chosen tiers and organisations")
        NOBODY = "nobody", _("nobody")

    name = models.CharField(max_length=200, unique=True, validators=[valid_model_name])
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    publisher = models.CharField(max_length=100)
    family = models.CharField(max_length=100)
    parameters_billion = models.DecimalField(max_digits=9, decimal_places=3, null=True, blank=True)
    active_parameters_billion = models.DecimalField(max_digits=9, decimal_places=3, null=True, blank=True)
    weights = models.CharField(max_length=200, blank=True)
    weights_revision = models.CharField(max_length=64, blank=True)
    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.STABLE)
    context_window = models.PositiveIntegerField()
    default_max_output = models.PositiveIntegerField()
    template_overhead_tokens = models.PositiveIntegerField(default=64)
    template_overhead_tokens_per_message = models.PositiveIntegerField(default=16)
    media_max_tokens = models.JSONField(default=dict, blank=True)
    modalities = ArrayField(models.CharField(max_length=16), default=list)
    capabilities = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    use_cases = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    languages = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    licence = models.CharField(max_length=100)
    licence_url = models.CharField(max_length=300, blank=True)
    indemnity = models.CharField(max_length=300, blank=True)
    location = models.CharField(max_length=64, blank=True)
    kwh_per_million_tokens = models.DecimalField(max_digits=9, decimal_places=3, null=True, blank=True)
    tokens_per_second = models.DecimalField(max_digits=7, decimal_places=1, null=True, blank=True)
    released_on = models.DateField(null=True, blank=True)
    stable_until = models.DateField(null=True, blank=True)
    deprecated_on = models.DateField(null=True, blank=True)
    retired_on = models.DateField(null=True, blank=True)
    successor = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="predecessors")
    description = models.TextField(blank=True)
    is_demo = models.BooleanField(default=False)
    visibility = models.CharField(
        max_length=16, choices=Visibility.choices, default=Visibility.EVERYBODY, db_default=Visibility.EVERYBODY
    )
    visible_tiers = ArrayField(models.BigIntegerField(), default=list, db_default=Value("{}"), blank=True)
    visible_tenants = ArrayField(models.BigIntegerField(), default=list, db_default=Value("{}"), blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    target_answered = models.PositiveIntegerField(null=True, blank=True)
    target_first_token_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(default_max_output__gt=0)
                & models.Q(default_max_output__lte=models.F("context_window")),
                name="default_max_output_fits_the_context_window",
            ),
            models.CheckConstraint(
                condition=models.Q(retired_on__isnull=True)
                | (models.Q(deprecated_on__isnull=False) & models.Q(retired_on__gte=models.F("deprecated_on"))),
                name="a_model_is_deprecated_before_it_is_retired",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ModelAlias(models.Model):
    """Another name of a model, for everybody or (`tenant` set) for one tenant."""

    model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="aliases")
    alias = models.CharField(max_length=200, validators=[valid_model_name])
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="model_aliases")

    class Meta:
        verbose_name_plural = "model aliases"
        constraints = [
            models.UniqueConstraint(fields=["alias", "tenant"], name="alias_means_one_model", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.alias
