"""Tables of the pools: which engines serve a model. Verbs in `gateway/pools/registry.py`."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_catalog.models import LanguageModel


class Pool(models.Model):
    """The replicas that serve one model the same way. `served_name` is the id that the engines know the model by."""

    name = models.SlugField(max_length=100, unique=True)
    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="pools")
    served_name = models.CharField(max_length=200)
    site = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "served_name", "site"], name="pool_serves_a_model_one_way")
        ]

    def __str__(self) -> str:
        return self.name


class Replica(models.Model):
    """One engine endpoint. `url` is `http://host:port`; `sealed_api_key` is encrypted (`identity.secret_box`, context
    `pools.replica:<id>:api_key`). `context_window` is what the engine itself accepts, in tokens; empty: it did not say.

    A replica takes requests only when READY: a probe has shown that it reports usage, streamed and not.
    """

    class State(models.TextChoices):
        REGISTERED = "registered", _("registered")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        DRAINING = "draining", _("draining")

    class Source(models.TextChoices):
        """Who keeps it in the list: the environment names its engines anew at every start."""

        ENVIRONMENT = "environment", _("environment")
        OPERATOR = "operator", _("operator")

    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="replicas")
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=300)
    sealed_api_key = models.BinaryField(null=True, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.REGISTERED)
    state_reason = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.OPERATOR)
    is_simulated = models.BooleanField(default=False)
    context_window = models.PositiveIntegerField(null=True, blank=True)
    node = models.CharField(max_length=100, blank=True)
    probed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "url"], name="replica_is_registered_once_in_its_pool")]

    def __str__(self) -> str:
        return self.name
