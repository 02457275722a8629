"""What the platform wants of this node: the whole of it, signed, so that nobody else who reaches the broker can say it.

An assignment names every replica that the node is to run. Its generation only grows: an older one is refused, the same
one again changes nothing. It expires a minute after it was made, so a recorded one is worth nothing later.
"""

from typing import Annotated, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ISSUER = "beffroi"
CLOCK_LEEWAY_SECONDS = 30  # what the clocks of two machines may differ by
_ALGORITHM = "EdDSA"

Natural = Annotated[int, msgspec.Meta(ge=0)]
Value = str | int | float | bool


class AssignmentRefused(Exception):
    """It is not the platform's, not for this node, or too old; the text says which."""


class Weights(msgspec.Struct, frozen=True):
    """Where a model's weights come from. `bytes` 0 and `sha256` "" where the platform does not know them.

    location: a folder of this machine (path), an https folder with a manifest.json (mirror), or owner/name
    sha256: of the manifest.json, which has that of every file
    """

    source: Literal["path", "mirror", "hugging_face", "none"]
    location: str = ""
    revision: str = ""
    bytes: Natural = 0
    sha256: str = ""


class Spec(msgspec.Struct, frozen=True):
    """One replica: an engine that serves one model. The same id never comes with another spec, but for `sleeps`.

    arguments: the engine's, by their names with dashes; `engine_flags.py` says which there may be
    gpus: their indexes; none on a machine without
    gpu_memory_share: the part of each GPU's memory that the engine may take; without GPUs it says nothing
    ready_within_s: from the start of its process until it answers
    may_sleep: it is started so that it can sleep; sleeps: it is to sleep now
    """

    id: Annotated[int, msgspec.Meta(gt=0)]
    pool: str
    served_name: Annotated[str, msgspec.Meta(min_length=1)]
    kind: Literal["chat", "embedding", "rerank", "transcription"]
    engine: Literal["vllm", "simulated"]
    weights: Weights
    api_key: Annotated[str, msgspec.Meta(min_length=1)]
    ready_within_s: Annotated[float, msgspec.Meta(gt=0)]
    arguments: dict[str, Value] = {}
    trust_remote_code: bool = False
    gpus: tuple[Natural, ...] = ()
    gpu_memory_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    may_sleep: bool = False
    sleeps: bool = False


class Assignment(msgspec.Struct, frozen=True):
    """All that the node is to run."""

    generation: Natural
    replicas: tuple[Spec, ...]

    def by_id(self) -> dict[int, Spec]:
        """The replicas by their id."""
        return {spec.id: spec for spec in self.replicas}


def read(token: str, *, platform: Ed25519PublicKey, node: str, generation: int) -> Assignment:
    """The assignment in a signed message (a JWS).

    generation: of the newest one that this node has had; 0: none
    Raises AssignmentRefused.
    """
    try:
        claims = jwt.decode(
            token,
            platform,
            algorithms=[_ALGORITHM],
            audience=f"node:{node}",
            issuer=ISSUER,
            leeway=CLOCK_LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "iat", "exp"]},
        )
    except jwt.ExpiredSignatureError:
        raise AssignmentRefused("it has expired: it was long under way, or the clocks differ") from None
    except jwt.PyJWTError as error:
        raise AssignmentRefused(f"it is not the platform's word to this node ({type(error).__name__})") from None
    try:
        assignment = msgspec.convert(claims, Assignment)
    except msgspec.ValidationError as error:
        raise AssignmentRefused(f"it cannot be read: {error}") from None
    if len(assignment.by_id()) != len(assignment.replicas):
        raise AssignmentRefused("it names a replica twice")
    if assignment.generation < generation:
        raise AssignmentRefused(f"generation {assignment.generation} is older than {generation}, which is known")
    return assignment
