"""What the platform says counts; what anybody else says, or the platform said too long ago, does not."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.node_agent.assignments import Assignment, AssignmentRefused, read
from tests.gateway.node_agent.platform import spec

PLATFORM = Ed25519PrivateKey.generate()


def claims(**others: Any) -> dict[str, Any]:
    now = int(time.time())
    told = {"iss": "beffroi", "aud": "node:paris-1", "iat": now, "exp": now + 60, "generation": 7}
    return {**told, "replicas": [spec(17)], **others}


def heard(token: str, generation: int = 0) -> Assignment:
    return read(token, platform=PLATFORM.public_key(), node="paris-1", generation=generation)


def signed(**others: Any) -> str:
    return jwt.encode(claims(**others), PLATFORM, algorithm="EdDSA")


def test_the_platforms_word_is_read_whole() -> None:
    weights = {"source": "mirror", "location": "https://m/x", "sha256": "0" * 64}
    told = [spec(17), spec(18, engine="vllm", weights=weights, gpus=[0, 1], arguments={"--max-model-len": "8192"})]
    assignment = heard(signed(replicas=told))
    assert (assignment.generation, set(assignment.by_id())) == (7, {17, 18})
    assert heard(signed(replicas=[spec(17, gpus=[], gpu_memory_share=0)])).by_id()[17].gpus == ()
    assert assignment.by_id()[18].gpus == (0, 1)
    assert assignment.by_id()[18].weights.location == "https://m/x"


def test_a_later_release_may_say_more() -> None:
    assert heard(signed(replicas=[spec(17, adapters=["x"])], colour="blue")).by_id()[17].pool == "demo"


def test_the_same_generation_counts_again_and_an_older_one_never() -> None:
    assert heard(signed(), generation=7).generation == 7
    with pytest.raises(AssignmentRefused, match="older than 8"):
        heard(signed(), generation=8)


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"aud": "node:paris-10"}, "not the platform's word to this node"),
        ({"aud": "beffroi"}, "not the platform's word to this node"),
        ({"iss": "node:paris-1"}, "not the platform's word to this node"),
        ({"exp": int(time.time()) - 120}, "expired"),
        ({"iat": int(time.time()) + 3600}, "not the platform's word to this node"),
        ({"exp": None}, "not the platform's word to this node"),
        ({"generation": -1}, "cannot be read"),
        ({"generation": "7"}, "cannot be read"),
        ({"replicas": [{"id": 17}]}, "cannot be read"),
        ({"replicas": [spec(0)]}, "cannot be read"),
        ({"replicas": [spec(17, gpus=[-1])]}, "cannot be read"),
        ({"replicas": [spec(17, gpu_memory_share=1.5)]}, "cannot be read"),
        ({"replicas": [spec(17, arguments={"--x": ["a"]})]}, "cannot be read"),
        ({"replicas": [spec(17), spec(17)]}, "twice"),
    ],
)
def test_what_is_not_right_is_refused_whole(others: dict[str, Any], why: str) -> None:
    with pytest.raises(AssignmentRefused, match=why):
        heard(signed(**others))


def test_nobody_else_can_sign_it() -> None:
    public = PLATFORM.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forgeries = [
        jwt.encode(claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA"),
        jwt.encode(claims(), public.hex(), algorithm="HS256"),
        jwt.encode(claims(), "", algorithm="none"),
        signed()[:-4] + "AAAA",
        "not.a.token",
        "",
    ]
    for forgery in forgeries:
        with pytest.raises(AssignmentRefused, match="not the platform's word"):
            heard(forgery)
