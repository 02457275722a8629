"""Tables of the fleet: the machines that engines run on, how replicas of a managed pool are configured, what failed.

Desired state is `Pool`, `PoolConfiguration` and `Node.service`; observed state is what agents report. Only
`gateway/pools/fleet/` writes these.
"""

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

NODE_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # it is part of a queue's name and of a broker user's


class Node(models.Model):
    """A GPU machine with an agent. It joins once, by a token of which the digest (SHA-256) is kept, and from then on
    signs its reports with its own Ed25519 key; `command_key` is the number of ours that signs what it is told.

    `generation` counts its assignments, `assignment_digest` (SHA-256) says which one that is, `acknowledged` is the one
    that the agent has. `observed` is the last report without its replicas. A CORDONED node gets no new replica, a
    DRAINING one also loses those that it has.
    """

    class Service(models.TextChoices):
        IN = "in", _("in service")
        CORDONED = "cordoned", _("cordoned")
        DRAINING = "draining", _("being drained")

    name = models.CharField(max_length=63, unique=True, validators=[RegexValidator(rf"\A{NODE_NAME}\Z")])
    labels = models.JSONField(default=dict)
    service = models.CharField(max_length=16, choices=Service.choices, default=Service.IN)
    token_digest = models.BinaryField(null=True, unique=True)
    token_expires_at = models.DateTimeField(null=True)
    public_key = models.BinaryField(null=True)
    command_key = models.PositiveSmallIntegerField(default=0)
    sealed_broker_password = models.BinaryField(null=True)
    token_used = models.BooleanField(default=False)
    joined_at = models.DateTimeField(null=True)
    generation = models.PositiveBigIntegerField(default=0)
    assignment_digest = models.BinaryField(default=bytes)
    acknowledged = models.PositiveBigIntegerField(default=0)
    reported_at = models.DateTimeField(null=True)
    agent_started_at = models.FloatField(default=0)
    sequence = models.PositiveBigIntegerField(default=0)
    observed = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class PoolConfiguration(models.Model):
    """How a replica of a managed pool is started. It never changes: another one has the next `generation`.

    `arguments` are the engine's; `weights` says where the model's files come from; `gpu_memory_mb` (MiB) is taken of
    each of its `gpus` GPUs; `labels` are those that its node must have; `ready_within_s` seconds it may take. One that
    `may_sleep` keeps its weights in the machine's memory while nobody asks, and is awake in seconds.
    """

    class Engine(models.TextChoices):
        VLLM = "vllm", "vLLM"
        SIMULATED = "simulated", _("simulated engine")

    pool = models.ForeignKey("pools.Pool", on_delete=models.CASCADE, related_name="configurations", db_index=False)
    generation = models.PositiveIntegerField()
    engine = models.CharField(max_length=16, choices=Engine.choices)
    arguments = models.JSONField(default=dict)
    trust_remote_code = models.BooleanField(default=False)
    weights = models.JSONField(default=dict)
    gpus = models.PositiveSmallIntegerField()
    gpu_memory_mb = models.PositiveIntegerField()
    labels = models.JSONField(default=dict)
    ready_within_s = models.PositiveIntegerField()
    may_sleep = models.BooleanField(default=False, db_default=False)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "generation"], name="configuration_has_one_generation")]


class Setback(models.Model):
    """How often replicas of a configuration failed on a node in a row, and why the last one did. Gone with success."""

    pool = models.ForeignKey("pools.Pool", on_delete=models.CASCADE, related_name="setbacks", db_index=False)
    generation = models.PositiveIntegerField()
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="setbacks")
    failures = models.PositiveIntegerField()
    last_at = models.DateTimeField()
    reason = models.CharField(max_length=300)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "generation", "node"], name="setbacks_are_counted_once_a_place")
        ]


class PoolLoad(models.Model):
    """What an automatic pool had to do at a time, as its nodes reported it; kept for an hour
    (`gateway/pools/fleet/demand.py`). `ready` replicas, requests `running` and `waiting` in engines, the mean use of
    their KV cache (0 to 1), and what the last probe waited for its first token, in milliseconds.
    """

    pool = models.ForeignKey("pools.Pool", on_delete=models.CASCADE, related_name="loads", db_index=False)
    at = models.DateTimeField()
    ready = models.PositiveSmallIntegerField()
    running = models.PositiveIntegerField()
    waiting = models.PositiveIntegerField()
    kv_cache_use = models.FloatField()
    first_token_ms = models.PositiveIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["pool", "at"], name="pool_load_by_pool"),
            models.Index(fields=["at"], name="pool_load_by_time"),
        ]


class GatewayDemand(models.Model):
    """What a gateway said last of requests for a model (`note_demand_v1`): those `waiting` for a place at an engine,
    there or not, and when somebody asked who is not the platform's own probe. Counts for seconds after `at`.
    """

    incarnation = models.UUIDField()
    model = models.ForeignKey("models_catalog.LanguageModel", on_delete=models.CASCADE, related_name="+")
    waiting = models.PositiveIntegerField()
    asked_at = models.DateTimeField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["incarnation", "model"], name="gateway_tells_of_a_model_once")]


class EngineLog(models.Model):
    """What a replica's engine printed until it was ready, or failed: its last lines, as its node reported them.

    Nothing of what it prints once requests reach it is told (I5). By name, as it outlives the replica; kept for a week.
    """

    pool = models.CharField(max_length=100)
    replica = models.CharField(max_length=100, unique=True)
    node = models.CharField(max_length=100)
    at = models.DateTimeField()
    text = models.TextField()

    class Meta:
        indexes = [
            models.Index(fields=["pool", "-at"], name="engine_log_by_pool"),
            models.Index(fields=["at"], name="engine_log_by_time"),
        ]


class FleetEvent(models.Model):
    """Something that happened to a replica, a pool or a node; it only grows, and is kept for 90 days.

    All by name, as events outlive what they tell of. `began_at`: when the state began that ended here (`from_state`).
    """

    at = models.DateTimeField()
    began_at = models.DateTimeField(null=True)
    kind = models.CharField(max_length=32)
    pool = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=200, blank=True)
    replica = models.CharField(max_length=100, blank=True)
    node = models.CharField(max_length=100, blank=True)
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["pool", "-at"], name="fleet_event_by_pool"),
            models.Index(fields=["node", "-at"], name="fleet_event_by_node"),
            models.Index(fields=["at"], name="fleet_event_by_time"),
        ]
