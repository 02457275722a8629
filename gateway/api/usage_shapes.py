"""The shapes of usage in answers. Money is whole nano-EUR, prices nano-EUR per million units."""

from typing import Any

from rest_framework import serializers

from billing.pricing import METERS

_TOKENS = "Cached tokens are part of the prompt, reasoning tokens part of the completion."


class MeterLineSerializer(serializers.Serializer[Any]):
    """How much of a meter a request used, and what that came to."""

    meter = serializers.ChoiceField(choices=METERS)
    quantity = serializers.IntegerField(help_text="Tokens, milliseconds, documents or images.")
    price_nano_eur_per_million = serializers.IntegerField(
        allow_null=True, source="price", help_text="The price when the request was admitted, per million units."
    )
    amount_nano_eur = serializers.IntegerField(source="amount", help_text="Rounded so that the lines add up exactly.")


class RecordSerializer(serializers.Serializer[Any]):
    """A request as it was billed. Never its content: prompts and answers are stored nowhere."""

    request_id = serializers.UUIDField()
    parent_id = serializers.UUIDField(allow_null=True, help_text="The batch or session that it was a part of.")
    model = serializers.CharField()
    alias = serializers.CharField(help_text="What the request called the model.")
    endpoint = serializers.CharField()
    door = serializers.CharField()
    mode = serializers.CharField()
    status = serializers.CharField(help_text="How it ended: `completed`, `client_left`, `engine_died`, ...")
    http_status = serializers.IntegerField()
    finish_reason = serializers.CharField()
    stream = serializers.BooleanField()
    label = serializers.CharField(  # type: ignore[assignment]  # a field of ours, not the attribute
        help_text="What the client sent as `x-beffroi-label`."
    )
    project_id = serializers.IntegerField()
    project_name = serializers.CharField()
    key_id = serializers.CharField()
    key_name = serializers.CharField()
    owner = serializers.UUIDField(allow_null=True, help_text="The pseudonym of whose key it was.")
    site = serializers.CharField(help_text="Where it ran.")
    prompt_tokens = serializers.IntegerField(help_text=_TOKENS)
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField(help_text=_TOKENS)
    reasoning_tokens = serializers.IntegerField()
    audio_ms = serializers.IntegerField()
    documents = serializers.IntegerField()
    images = serializers.IntegerField()
    cost_nano_eur = serializers.IntegerField(help_text="What was charged, in nano-EUR.")
    refunded_nano_eur = serializers.IntegerField(
        help_text="What of the cost was given back: the answer was withheld, its charge not being confirmed in time."
    )
    uncharged_nano_eur = serializers.IntegerField(
        help_text="What it was worth beyond its reservation: our loss, not charged."
    )
    meters = MeterLineSerializer(many=True, help_text="Their amounts add up to `cost_nano_eur + uncharged_nano_eur`.")
    price_version_id = serializers.IntegerField()
    contract_id = serializers.IntegerField()
    kwh_per_million_tokens = serializers.FloatField(allow_null=True)
    max_tokens_asked = serializers.IntegerField(allow_null=True)
    max_tokens_given = serializers.IntegerField(allow_null=True)
    guardrail = serializers.CharField()
    ttft_ms = serializers.IntegerField(allow_null=True, help_text="Milliseconds until the first token.")
    duration_ms = serializers.IntegerField()
    admitted_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField()


class RecordPageSerializer(serializers.Serializer[Any]):
    """Usage records, the newest first."""

    results = RecordSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class UsageSumSerializer(serializers.Serializer[Any]):
    """Requests added up. What they were not added up by is null."""

    starts_at = serializers.DateTimeField(allow_null=True, help_text="The hour or day; null where `interval` is `all`.")
    model = serializers.CharField(allow_null=True)
    key_id = serializers.CharField(allow_null=True)
    key_name = serializers.CharField(allow_null=True)
    project_id = serializers.IntegerField(allow_null=True)
    project_name = serializers.CharField(allow_null=True)
    requests = serializers.IntegerField()
    failed_requests = serializers.IntegerField(help_text="Answered with a status of 400 or more.")
    prompt_tokens = serializers.IntegerField(help_text=_TOKENS)
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField(help_text=_TOKENS)
    reasoning_tokens = serializers.IntegerField()
    audio_ms = serializers.IntegerField()
    documents = serializers.IntegerField()
    images = serializers.IntegerField()
    cost_nano_eur = serializers.IntegerField(
        help_text="In nano-EUR: from some 9 million euros on, more than a JavaScript number holds exactly."
    )
    uncharged_nano_eur = serializers.IntegerField()
    kwh = serializers.FloatField(
        allow_null=True,
        help_text="Estimated from what the model's catalogue entry declares; null where it declares nothing, and "
        "where usage is not added up by model.",
    )


class SummarySerializer(serializers.Serializer[Any]):
    """Sums of usage, in the order of time."""

    time_zone = serializers.CharField(help_text="In which days begin.")
    results = UsageSumSerializer(many=True)


class LabelSumSerializer(serializers.Serializer[Any]):
    """The requests of a label added up."""

    label = serializers.CharField(  # type: ignore[assignment]  # a field of ours, not the attribute
        allow_null=True, help_text="What the client sent as `x-beffroi-label`; null: the cheaper labels, together."
    )
    requests = serializers.IntegerField()
    failed_requests = serializers.IntegerField(help_text="Answered with a status of 400 or more.")
    prompt_tokens = serializers.IntegerField(help_text=_TOKENS)
    completion_tokens = serializers.IntegerField(help_text=_TOKENS)
    cost_nano_eur = serializers.IntegerField()


class LabelSumsSerializer(serializers.Serializer[Any]):
    """Labelled requests added up, the dearest label first."""

    results = LabelSumSerializer(many=True)


class RefusalSerializer(serializers.Serializer[Any]):
    """A request that was refused before it cost anything."""

    request_id = serializers.UUIDField()
    at = serializers.DateTimeField()
    code = serializers.CharField(help_text="The `code` of the error that the client got.")
    limit = serializers.CharField(help_text="The limit or budget that refused it; empty: none did.")
    model = serializers.CharField()
    project_id = serializers.IntegerField()
    key_id = serializers.CharField()


class RefusalPageSerializer(serializers.Serializer[Any]):
    """Refused requests, the newest first; the last 1,000 of each key are kept."""

    results = RefusalSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Where the list continues; null: this is its end.")


class RefusalSumSerializer(serializers.Serializer[Any]):
    """How often a key was refused with a code."""

    key_id = serializers.CharField()
    key_name = serializers.CharField()
    code = serializers.CharField()
    refusals = serializers.IntegerField()


class RefusalSumsSerializer(serializers.Serializer[Any]):
    """Refused requests counted, by key and code."""

    results = RefusalSumSerializer(many=True)
