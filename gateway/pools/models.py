"""Tables of the pools: which engines serve a model (verbs in `gateway/pools/registry.py`), and what they counted.

What the fleet adds, nodes and the configurations of managed pools, is in `gateway/pools/fleet_tables.py`.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from gateway.pools.fleet_tables import Node
from models_catalog.models import LanguageModel


class Pool(models.Model):
    """The replicas that serve one model the same way. `served_name` is the id that the engines know the model by.

    `requests_at_once` is what gateways send to each replica at the most; further requests wait in line, and tenants
    take turns. Empty: there is no bound, the engines' own queues take all.

    An UNMANAGED pool has the engines that somebody registered. Of any other one, `wanted` replicas of `generation`
    (`PoolConfiguration`) are kept running on nodes, within `minimum` and `maximum`; where GPUs are short, an AUTOMATIC
    one of a higher `priority` grows first. `sound_generation` is the last one
    of which a replica took requests: what a bad configuration falls back to; 0: none did yet.

    An AUTOMATIC one with `zero_after_s` has none once nobody asked for so many seconds (`asked_at`: when somebody did
    last, as far as gateways told), and wakes when asked; `is_stuck`: it was asked, and nothing can be started now.
    """

    class Policy(models.TextChoices):
        """Who says how many replicas there are: nobody, a person, the demand."""

        UNMANAGED = "unmanaged", _("unmanaged")
        MANUAL = "manual", _("manual")
        AUTOMATIC = "automatic", _("automatic")

    name = models.SlugField(max_length=100, unique=True)
    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="pools")
    served_name = models.CharField(max_length=200)
    site = models.CharField(max_length=64, blank=True)
    requests_at_once = models.PositiveIntegerField(null=True, blank=True)
    policy = models.CharField(max_length=16, choices=Policy.choices, default=Policy.UNMANAGED, db_default="unmanaged")
    minimum = models.PositiveSmallIntegerField(default=0, db_default=0)
    maximum = models.PositiveSmallIntegerField(default=0, db_default=0)
    wanted = models.PositiveSmallIntegerField(default=0, db_default=0)
    priority = models.SmallIntegerField(default=0, db_default=0)
    generation = models.PositiveIntegerField(default=0, db_default=0)
    sound_generation = models.PositiveIntegerField(default=0, db_default=0)
    zero_after_s = models.PositiveIntegerField(null=True, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    is_stuck = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "served_name", "site"], name="pool_serves_a_model_one_way")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def zero_after_min(self) -> int | None:
        """`zero_after_s` in minutes, rounded up: as pages say it."""
        return -(-self.zero_after_s // 60) if self.zero_after_s is not None else None

    @property
    def wakes(self) -> bool:
        """Whether it may have no replica and gets one when somebody asks: gateways hold requests for it meanwhile."""
        return self.policy == self.Policy.AUTOMATIC and self.zero_after_s is not None and self.maximum > 0


class Replica(models.Model):
    """One engine endpoint. `url` is `http://host:port`; `sealed_api_key` is encrypted (`identity.secret_box`, context
    `pools.replica:<id>:api_key`). `context_window` is what the engine itself accepts, in tokens; empty: it did not say.

    A replica takes requests only when READY: a probe has shown that it reports usage, streamed and not. One that drains
    ends what it is answering; what an EJECTED one is answering is broken off, and begun elsewhere where nothing was
    sent yet. Both stay so until somebody puts them back.

    One of the FLEET is the reconciler's: REQUESTED of its node, STARTING there, WARMING up while it is probed, READY;
    then DRAINING, STOPPING, and gone; or, drained, SLEEPING, until it is woken and STARTING again. Until its engine
    listens, its `url` is `node://<node>/<word>`. It runs the configuration `generation` of its pool on `machine` and
    there on the GPUs of `gpus` (their indexes), and keeps both for its life. `observed` is what its node last reported
    of it. One that `retires` is replaced as soon as another one is ready. `state_since` tells when the state was
    reached, where that matters to somebody, `silent_since` that it is READY or DRAINING but does not answer
    (`gateway/pools/silence.py`).
    """

    class State(models.TextChoices):
        REGISTERED = "registered", _("registered")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")
        DRAINING = "draining", _("draining")
        EJECTED = "ejected", _("ejected")
        REQUESTED = "requested", _("requested")
        STARTING = "starting", _("starting")
        WARMING = "warming", _("warming up")
        STOPPING = "stopping", _("stopping")
        SLEEPING = "sleeping", _("asleep")

    class Source(models.TextChoices):
        """Who keeps it in the list: the environment names its engines anew at every start, the fleet's reconciler
        brings and takes its own.
        """

        ENVIRONMENT = "environment", _("environment")
        OPERATOR = "operator", _("operator")
        FLEET = "fleet", _("fleet")

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
    machine = models.ForeignKey(Node, on_delete=models.PROTECT, null=True, related_name="replicas", db_index=False)
    gpus = models.JSONField(default=list, db_default=[])
    generation = models.PositiveIntegerField(null=True)
    observed = models.JSONField(default=dict, db_default={})
    retires = models.BooleanField(default=False, db_default=False)
    state_since = models.DateTimeField(null=True)
    silent_since = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "url"], name="replica_is_registered_once_in_its_pool")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_there(self) -> bool:
        """Whether its engine runs, as far as we are to ask it anything: one of the fleet may only be on its way."""
        state = self.State
        return self.state not in (state.REQUESTED, state.STARTING, state.STOPPING, state.SLEEPING)

    @property
    def takes_requests(self) -> bool:
        """Whether it is ready, and answered when it was last asked."""
        return self.state == self.State.READY and self.silent_since is None


class EngineSample(models.Model):
    """An engine's own counters at a time between `asked_at` and `at`, in tokens since its process began (`began_at`).

    Pool and replica by name, as usage records have them: samples outlive both. See `gateway/pools/counters.py`.
    `running` and `waiting` are requests at that time, `kv_cache_usage` is the share of its KV cache in use, 0 to 1;
    null where the engine does not tell.
    """

    pool = models.CharField(max_length=100)
    replica = models.CharField(max_length=100)
    asked_at = models.DateTimeField()
    at = models.DateTimeField()
    began_at = models.DateTimeField(null=True)
    prompt_tokens = models.BigIntegerField()
    generation_tokens = models.BigIntegerField()
    finished_prompt_tokens = models.BigIntegerField(null=True)
    finished_generation_tokens = models.BigIntegerField(null=True)
    extra_choices = models.BigIntegerField(null=True)
    running = models.PositiveIntegerField(null=True)
    waiting = models.PositiveIntegerField(null=True)
    kv_cache_usage = models.FloatField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["pool", "replica", "at"], name="sample_by_replica"),
            models.Index(fields=["at"], name="sample_by_time"),
        ]


class EngineProbe(models.Model):
    """What a probe used of an engine: tokens that it counted and nobody pays."""

    pool = models.CharField(max_length=100)
    replica = models.CharField(max_length=100)
    at = models.DateTimeField()
    prompt_tokens = models.BigIntegerField()
    generation_tokens = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="probe_by_time")]


class ModelProbe(models.Model):
    """What became of the one token that was asked of a published model in a minute, as a client asks for it: see
    `gateway/pools/model_probes.py`. `minute` is its start.

    `outcome` empty: the minute was begun and not seen to its end. `code` is the gateway's own, where it refused. Times
    in milliseconds; `tokens` that were written, of an embedding or a reranking those that were read.
    """

    class Outcome(models.TextChoices):
        ANSWERED = "answered", _("answered")
        NO_REPLICA = "no_replica", _("no replica")
        FAILED = "failed", _("the engine failed")
        TIMED_OUT = "timed_out", _("no answer in time")
        REFUSED = "refused", _("refused")
        GATEWAY_AWAY = "gateway_away", _("the gateway did not answer")

    model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="probes", db_index=False)
    minute = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True)
    code = models.CharField(max_length=64, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    tokens = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "minute"], name="model_is_probed_once_a_minute")]
        indexes = [models.Index(fields=["minute"], name="model_probe_by_minute")]

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens over the whole time that they took; None where nothing was answered."""
        return self.tokens * 1000 / self.duration_ms if self.tokens and self.duration_ms else None


class Reconciliation(models.Model):
    """A pool's tokens in a period, as charged and as its engines counted them; `causes` says what explains how much.

    `unexplained` is what is left of engine less charged: above 0 nobody was charged for it, below 0 somebody was
    charged for what no engine counted. Written by `gateway/pools/reconciliation.py`.
    """

    pool = models.CharField(max_length=100)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    charged_prompt_tokens = models.BigIntegerField()
    engine_prompt_tokens = models.BigIntegerField()
    unexplained_prompt_tokens = models.BigIntegerField()
    charged_generation_tokens = models.BigIntegerField()
    engine_generation_tokens = models.BigIntegerField()
    unexplained_generation_tokens = models.BigIntegerField()
    uncompared_tokens = models.BigIntegerField()
    causes = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "starts_at", "ends_at"], name="period_is_reconciled_once_a_pool")
        ]
