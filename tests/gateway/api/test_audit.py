"""`/api/audit`: the same events, files and answers as the page."""

import csv
import io

import pytest

from identity.api_keys import revoke_api_key
from identity.audit import Actor
from identity.audit_signing import checkpoint, public_keys
from identity.audit_verifier import ChainVerifier, verify_export
from identity.scopes import Scope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey, House


@pytest.fixture
def auditor(house: House) -> HeldKey:
    """A key that may read the audit and do nothing else."""
    return house.key(Scope.AUDIT_READ)


def test_events_are_listed_newest_first_with_names_and_filters(api: Api, house: House, auditor: HeldKey) -> None:
    other = house.key()
    revoke_api_key(other.row, actor=Actor.key(auditor.row), reason="leaked")
    answer = api.get("/api/audit?limit=2", auditor).json()
    revoked, minted = answer["results"]
    assert (revoked["action"], revoked["target"], revoked["detail"]) == (
        "api_key.revoked", other.row.lookup, {"reason": "leaked"},
    )  # fmt: skip
    assert revoked["known_as"] == {"actor": {"name": auditor.row.name}, "target": {"name": other.row.name}}
    assert minted["sequence"] == revoked["sequence"] - 1
    older = api.get(answer["next"], auditor).json()["results"]
    assert older[0]["sequence"] == minted["sequence"] - 1
    mine = api.get(f"/api/audit?target_kind=apikey&target={other.row.lookup}", auditor).json()["results"]
    assert [event["action"] for event in mine] == ["api_key.revoked", "api_key.minted"]
    assert api.get("/api/audit?to=2020-01-01", auditor).json()["results"] == []
    assert problem_of(api.get("/api/audit?door=window", auditor))["code"] == "invalid"


def test_X4_an_export_through_the_api_verifies_and_is_recorded_with_its_door(
    api: Api, house: House, auditor: HeldKey
) -> None:
    response = api.get("/api/audit/export", auditor, X_Forwarded_For="192.0.2.9")
    assert response["Content-Type"] == "application/jsonl"
    verifier = ChainVerifier(trusted=frozenset(public_keys()), tenant=house.tenant.pk)
    assert verify_export(response.content.decode().splitlines(), verifier).flaw is None
    told = api.get("/api/audit?action=audit.exported", auditor).json()["results"][0]
    assert (told["door"], told["detail"], told["actor"]) == ("api", {"format": "jsonl"}, auditor.row.lookup)


def test_an_export_as_csv(api: Api, auditor: HeldKey) -> None:
    response = api.get("/api/audit/export?format=csv&action=tenant", auditor)
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [row["action"] for row in rows] == ["tenant.created"]


def test_checkpoints_are_given_out_to_be_kept_elsewhere(api: Api, house: House, auditor: HeldKey) -> None:
    signed = checkpoint(house.tenant)
    assert signed is not None
    answer = api.get("/api/audit/checkpoints", auditor).json()
    assert answer["public_keys"] == public_keys()
    assert answer["results"][0]["sequence"] == signed.sequence
    assert answer["next"] is None


def test_the_chain_is_verified_on_request(api: Api, auditor: HeldKey) -> None:
    assert api.get("/api/audit/verification", auditor).json()["state"] == "never"
    found = api.ask("POST", "/api/audit/verification", auditor).json()
    assert (found["state"], found["broken_sequence"]) == ("holds", None)
    assert api.get("/api/audit/verification", auditor).json() == found


def test_I6_a_key_without_the_scope_reads_no_audit(api: Api, key: HeldKey) -> None:
    for address in ("/api/audit", "/api/audit/export", "/api/audit/checkpoints", "/api/audit/verification"):
        assert problem_of(api.get(address, key))["code"] == "scope_missing"
