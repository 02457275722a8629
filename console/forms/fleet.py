"""The forms of the fleet: a new node, its labels, how many replicas a pool has, how one is started."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from gateway.pools.fleet.managed_pools import GPUS_MAX, READY_WITHIN_S, REPLICAS_MAX, ZERO_AFTER_S_MOST, Count, Wish
from gateway.pools.fleet_tables import PoolConfiguration
from gateway.pools.models import Pool
from gateway.pools.places import MOST

_MIB_OF_GIB = 1024
_SOURCES = [
    ("hugging_face", "Hugging Face"),
    ("mirror", _("a mirror of yours (HTTPS)")),
    ("path", _("a folder on each node")),
    ("none", _("none: a simulated engine")),
]


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false", **attributes})


def _number(**attributes: str) -> forms.NumberInput:
    return forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric", **attributes})


def _lines(**attributes: str) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "form-control", "rows": "3", "spellcheck": "false", **attributes})


def pairs_in(text: str) -> dict[str, str]:
    """Name -> value of lines (or words, separated by commas) `name=value`. Raises ValidationError."""
    found = {}
    for line in filter(None, (part.strip() for part in text.replace(",", "\n").splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name or not value:
            raise forms.ValidationError(_now("Write each as name=value, one a line."))
        found[name] = value
    return found


def pairs_text(pairs: Mapping[str, object]) -> str:
    """The same, to be changed."""
    return "\n".join(f"{name}={value}" for name, value in pairs.items())


def arguments_in(text: str) -> dict[str, Any]:
    """An engine's arguments of lines `--name=value` or `--name`; numbers, true and false as such.

    Raises ValidationError.
    """
    found: dict[str, Any] = {}
    for line in filter(None, (part.strip() for part in text.splitlines())):
        name, equals, value = line.partition("=")
        if not name.startswith("--"):
            raise forms.ValidationError(_now("Write each as --name=value, one a line."))
        found[name.strip()] = _value(value.strip()) if equals else True
    return found


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """The same, to be changed."""
    return "\n".join(
        name if value is True else f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in arguments.items()
    )


def _value(text: str) -> Any:
    try:
        read = json.loads(text)
    except ValueError:
        return text
    return read if isinstance(read, int | float | bool) else text


class LabelsForm(forms.Form):
    """What placement may ask of a node."""

    labels = forms.CharField(
        label=_("Labels"),
        required=False,
        max_length=2_000,
        widget=_lines(placeholder="site=paris"),
        help_text=_("Each as name=value, one a line. A pool may ask for them."),
    )

    def clean_labels(self) -> dict[str, str]:
        """Name -> value."""
        return pairs_in(self.cleaned_data["labels"])


class NodeForm(LabelsForm):
    """A new node."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        widget=_text(placeholder="gpu-01"),
        help_text=_("Small letters, digits and hyphens. It stays."),
    )
    field_order = ["name", "labels"]


class CountForm(forms.Form):
    """How many replicas."""

    wanted = forms.IntegerField(label=_("Replicas"), min_value=0, max_value=REPLICAS_MAX, widget=_number())
    minimum = forms.IntegerField(
        label=_("At least"),
        min_value=0,
        max_value=REPLICAS_MAX,
        widget=_number(),
        help_text=_("Every pool's minimum is placed before what others want beyond theirs."),
    )
    maximum = forms.IntegerField(label=_("At most"), min_value=0, max_value=REPLICAS_MAX, widget=_number())
    policy = forms.ChoiceField(
        label=_("Who says how many"),
        choices=[
            (Pool.Policy.MANUAL.value, _("you: as many as you type here")),
            (Pool.Policy.AUTOMATIC.value, _("the demand, between the bounds")),
            (Pool.Policy.UNMANAGED.value, _("nobody: replicas on nodes are drained")),
        ],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=-100,
        max_value=100,
        widget=_number(),
        help_text=_("Where GPUs are short, pools of a higher one that follow the demand grow first."),
    )
    requests_at_once = forms.IntegerField(
        label=_("Requests at once to each replica"),
        required=False,
        min_value=1,
        max_value=MOST,
        widget=_number(),
        help_text=_("More wait in line, and organisations take turns. The demand is counted in these places."),
    )
    zero_after_min = forms.IntegerField(
        label=_("Minutes without a request until it has none"),
        required=False,
        min_value=1,
        max_value=ZERO_AFTER_S_MOST // 60,
        widget=_number(),
        help_text=_(
            "For a pool that follows the demand and may have no replica. Whoever asks then waits until one has "
            "started, two minutes at most. Empty: it keeps one."
        ),
    )
    field_order = ["policy"]

    @classmethod
    def of(cls, pool: Pool, data: Any) -> "CountForm":
        """As the pool is."""
        names = ("policy", "wanted", "minimum", "maximum", "priority", "requests_at_once", "zero_after_min")
        return cls(data, initial={name: getattr(pool, name) for name in names})

    @property
    def count(self) -> Count:
        """What was typed."""
        given = self.cleaned_data
        after = given["zero_after_min"]
        return Count(
            given["minimum"], given["maximum"], given["wanted"], given["priority"], after * 60 if after else None
        )

    @property
    def policy_wanted(self) -> Pool.Policy:
        """Who says how many."""
        return Pool.Policy(self.cleaned_data["policy"])


class WishForm(forms.Form):
    """How a replica is started."""

    engine = forms.ChoiceField(
        label=_("Engine"),
        choices=PoolConfiguration.Engine.choices,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    source = forms.ChoiceField(
        label=_("Weights from"), choices=_SOURCES, widget=forms.Select(attrs={"class": "form-select"})
    )
    location = forms.CharField(
        label=_("Place of the weights"),
        required=False,
        max_length=300,
        widget=_text(placeholder="Qwen/Qwen3-8B"),
        help_text=_("The name on Hugging Face, the address of a folder, or its path on the nodes."),
    )
    revision = forms.CharField(
        label=_("Revision"),
        required=False,
        max_length=100,
        widget=_text(),
        help_text=_("A commit keeps what is served the same."),
    )
    gpus = forms.IntegerField(label=_("GPUs of a replica"), min_value=0, max_value=GPUS_MAX, widget=_number())
    gpu_memory_gib = forms.IntegerField(
        label=_("Memory of each of them, GiB"),
        min_value=0,
        max_value=2_000,
        widget=_number(),
        help_text=_("Weights, cache and work together. Nothing else is placed there."),
    )
    arguments = forms.CharField(
        label=_("Arguments of the engine"),
        required=False,
        max_length=10_000,
        widget=_lines(placeholder="--max-model-len=32768"),
        help_text=_("Each as --name=value, one a line; those that an agent refuses are refused here."),
    )
    labels = forms.CharField(
        label=_("Labels that its node must have"),
        required=False,
        max_length=2_000,
        widget=_lines(placeholder="site=paris", rows="2"),
    )
    ready_within_s = forms.IntegerField(
        label=_("Seconds that a start may take"), min_value=10, max_value=21_600, widget=_number()
    )
    trust_remote_code = forms.BooleanField(
        label=_("Run code that comes with the weights"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
        help_text=_("It runs on the nodes with the engine's rights. Who allowed it is in the audit."),
    )

    may_sleep = forms.BooleanField(
        label=_("Let the last one sleep instead of ending it"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
        help_text=_(
            "Where the pool may have none: its weights stay in the machine's memory, and it is awake in seconds. It "
            "keeps 4 GiB of each GPU, which others that share it have to leave free."
        ),
    )

    def __init__(self, data: Any = None, *, wish: Wish | None = None) -> None:
        known = wish or Wish(weights={"source": "hugging_face", "location": ""}, gpu_memory_mb=40 * _MIB_OF_GIB)
        super().__init__(data, initial=_initial(known))
        self._kept = {name: known.weights[name] for name in ("bytes", "sha256") if known.weights.get(name)}

    def clean_arguments(self) -> dict[str, Any]:
        """Name -> value."""
        return arguments_in(self.cleaned_data["arguments"])

    def clean_labels(self) -> dict[str, str]:
        """Name -> value."""
        return pairs_in(self.cleaned_data["labels"])

    @property
    def wish(self) -> Wish:
        """What was typed."""
        given = self.cleaned_data
        weights = {name: given[name] for name in ("location", "revision") if given[name]}
        return Wish(
            engine=given["engine"],
            gpus=given["gpus"],
            gpu_memory_mb=given["gpu_memory_gib"] * _MIB_OF_GIB,
            arguments=given["arguments"],
            trust_remote_code=given["trust_remote_code"],
            weights={"source": given["source"], **weights, **self._kept},
            labels=given["labels"],
            ready_within_s=given["ready_within_s"],
            may_sleep=given["may_sleep"],
        )


class ManageForm(WishForm):
    """A model's first managed pool."""

    wanted = forms.IntegerField(label=_("Replicas"), min_value=0, max_value=REPLICAS_MAX, initial=1, widget=_number())
    field_order = ["wanted"]


def _initial(wish: Wish) -> dict[str, Any]:
    return {
        "engine": wish.engine,
        "source": wish.weights.get("source", "none"),
        "location": wish.weights.get("location", ""),
        "revision": wish.weights.get("revision", ""),
        "gpus": wish.gpus,
        "gpu_memory_gib": -(-wish.gpu_memory_mb // _MIB_OF_GIB),
        "arguments": arguments_text(wish.arguments),
        "labels": pairs_text(wish.labels),
        "ready_within_s": wish.ready_within_s or READY_WITHIN_S,
        "trust_remote_code": wish.trust_remote_code,
        "may_sleep": wish.may_sleep,
    }
