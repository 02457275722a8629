"""Every verb that writes tells the audit chain, and every action has its wording."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from console.audit_wording import NOUNS, WORDING
from tests.architecture.sources import name_of, python_files

ACTION = re.compile(r"[a-z_]+\.[a-z_]+")


def recorded_actions(path: Path) -> Iterator[str]:
    """What a module gives to `audit.record(action=...)`: texts, also those of an f-string's beginning, and the texts of
    the module that look like an action where it is given by a variable.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_record(node)]
    given = [word.value for call in calls for word in call.keywords if word.arg == "action"]
    yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
    if any(not isinstance(one, ast.Constant) for one in given):
        said = {
            word.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and is_notice(node)
            for word in [*node.keywords, *[ast.keyword(None, value) for value in node.args]]
            if isinstance(word.value, ast.Constant)
        }
        constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        yield from (
            text
            for text in constants
            if isinstance(text, str) and ACTION.fullmatch(text) and text not in said and text.partition(".")[0] in NOUNS
        )


def is_record(call: ast.Call) -> bool:
    return (isinstance(call.func, ast.Attribute) and call.func.attr == "record") or (
        isinstance(call.func, ast.Name) and call.func.id == "record"
    )


def is_notice(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("notify", "_notify", "notify_outsider")


def test_X4_every_action_that_is_recorded_has_a_wording_for_people() -> None:
    """Add the action to `WORDING` in console/audit_wording.py, one line; a new noun to `NOUNS` too."""
    missing = {
        f"{name_of(path)}: {action}"
        for path in python_files()
        for action in recorded_actions(path)
        if action not in WORDING
    }
    assert not missing, "console/audit_wording.py lacks these actions: add a line for each to WORDING (and NOUNS)"
    assert {action.partition(".")[0] for action in WORDING} <= NOUNS.keys()


def test_a_wording_takes_only_who_and_what() -> None:
    for action, wording in WORDING.items():
        assert str(wording) % {"who": "W", "what": "T"}, action
        assert "%(" not in str(wording) % {"who": "W", "what": "T"}


_DELIVERY = "a message and its delivery, listed in the inbox; what it tells of is in the chain itself"
# Functions that write without a link of the chain, and why that is right.
UNTOLD: dict[str, str] = {
    "billing/limits/budgets.py: put_budget": "its callers keep the audit",
    "billing/limits/budgets.py: set_limit_of": "its callers keep the audit",
    "billing/contracts/contracts.py: close_agreement": "its callers keep the audit",
    "billing/contracts/contracts.py: start_agreed": "its callers keep the audit",
    "billing/credit/budget.py: begin_credit": "the contract that brings it is told",
    "billing/credit/budget.py: make_account": "the entry that it is made for is told",
    "billing/exports/run.py: take_export": "who writes a file now; asking for it and its download are told",
    "billing/exports/exports.py: add_export": "its callers keep the audit",
    "billing/limits/limits.py: put_limit": "its callers keep the audit",
    "billing/closing/previews.py: make_preview": "a draft; who asks for it, approves and issues is told",
    "billing/closing/previews.py: write_previews": "the same",
    "billing/invoices/files.py: take_invoice": "who makes the files now; issuing is told, and the files follow from it",
    "billing/invoices/files.py: write_files": "the same",
    "billing/invoices/files.py: write_files_of": "the same",
    "billing/invoices/issued.py: keep": "its callers keep the audit",
    "billing/invoices/issued.py: keep_lines": "its callers keep the audit",
    "gateway/pools/counters.py: sample_replica": "a measurement",
    "gateway/pools/fleet/assignments.py: renew_assignments": "follows from what is wanted; who wants it is told",
    "gateway/pools/fleet/demand.py: follow_demand": "follows from the demand; each change is a fleet event",
    "gateway/pools/fleet/demand.py: note_stuck": "follows from the plan that was just made",
    "gateway/pools/fleet/gateway_demand.py: note_asked": "a measurement",
    "gateway/pools/fleet/loads.py: note_loads": "a measurement",
    "gateway/pools/fleet/events.py: forget_events": "events that are over their time",
    "gateway/pools/fleet/events.py: note_node": "the fleet's own record; what people do is told by its callers",
    "gateway/pools/fleet/events.py: note_pool": "the same",
    "gateway/pools/fleet/events.py: note_replica": "the same",
    "gateway/pools/fleet/reconciler.py: reconcile_fleet": "follows from what is wanted; each step is a fleet event",
    "gateway/pools/model_probes.py: probe_published_models": "a measurement",
    "gateway/pools/fleet/start_logs.py: forget_logs": "logs that are over their time",
    "gateway/pools/fleet/start_logs.py: keep_log": "what an engine printed",
    "gateway/pools/reconciliation.py: forget": "measurements that are over their time",
    "gateway/pools/reconciliation.py: reconcile_and_keep": "a measurement",
    "gateway/pools/silence.py: note_answer": "a measurement",
    "gateway/pools/silence.py: note_silence": "a measurement",
    "identity/audit.py: record": "it is the chain",
    "identity/audit_shipping.py: note_taken": "how far a copy of the chain was sent",
    "identity/audit_signing.py: checkpoint": "it signs the chain",
    "identity/audit_signing.py: checkpoint_chains": "it signs the chain",
    "identity/audit_trail.py: verify_and_keep": "what was found, for display",
    "identity/budget_duties.py: put_duty": "its callers keep the audit",
    "identity/certificates.py: look_at": "a measurement",
    "identity/jobs.py: note_run": "how a job of the clock went",
    "identity/notice_choices.py: choose": "what somebody wants to be told is theirs",
    "identity/notice_delivery.py: deliver_due": _DELIVERY,
    "identity/notice_delivery.py: deliver_now": _DELIVERY,
    "identity/notice_delivery.py: forget_old_notices": _DELIVERY,
    "identity/notice_recipients.py: address_outsider": _DELIVERY,
    "identity/notice_recipients.py: address_to": _DELIVERY,
    "identity/notices.py: mark_all_read": "what somebody read is theirs",
    "identity/notices.py: mark_read": "what somebody read is theirs",
    "identity/notices.py: notify": _DELIVERY,
    "identity/notices.py: notify_outsider": _DELIVERY,
    "identity/operator_keys.py: authenticate_operator_key": "when a key was last used",
    "identity/projects.py: forget_responsible": "a part of `member.removed`, which tells",
    "identity/scim_tokens.py: token_of": "when a token was last used",
    "identity/shipping.py: ship": "how far a copy of chain and logs was sent",
    "identity/sign_ins.py: mark_checked": "when a session was looked at; its begin and end are told",
    "identity/sign_ins.py: mark_seen": "when a session was looked at; its begin and end are told",
}

WRITES = frozenset({"save", "create", "bulk_create", "get_or_create", "update_or_create", "bulk_update"})


def writes(call: ast.Call) -> bool:
    """Whether a call changes rows through Django: `update(...)` counts with keywords only, as a dict's has none."""
    if not isinstance(call.func, ast.Attribute):
        return False
    match call.func.attr:
        case "update":
            return bool(call.keywords) and not call.args and "objects" in ast.dump(call.func)
        case "delete":
            return not call.args and not call.keywords
        case name:
            return name in WRITES


def calls_of(function: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(function) if isinstance(node, ast.Call)]


def named(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def verbs_that_write_untold(path: Path, telling: frozenset[str]) -> Iterator[str]:
    """Public functions of a module that write, themselves or by a function of the module, and reach no record."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    def reached(name: str, seen: set[str]) -> list[ast.Call]:
        seen.add(name)
        calls = calls_of(functions[name])
        for call in list(calls):
            if named(call) in functions and named(call) not in seen:
                calls += reached(named(call), seen)
        return calls

    for name in functions:
        calls = [] if name.startswith("_") else reached(name, set())
        if any(map(writes, calls)) and not any(is_record(call) or named(call) in telling for call in calls):
            yield f"{name_of(path)}: {name}"


def telling_functions() -> frozenset[str]:
    """Names of functions anywhere of ours that record by themselves: who calls one of them tells too."""
    found = set()
    for path in python_files("identity", "billing", "models_catalog", "gateway/pools"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
            if isinstance(node, ast.FunctionDef) and any(map(is_record, calls_of(node))):
                found.add(node.name)
    return frozenset(found)


def test_X4_a_verb_that_writes_tells_the_audit_chain() -> None:
    """Call `audit.record()` in the verb's transaction, or say in `UNTOLD` why not."""
    telling = telling_functions()
    untold = {
        verb
        for path in python_files("identity", "billing", "models_catalog", "gateway/pools")
        if "models" not in path.parts and path.name != "models.py"
        for verb in verbs_that_write_untold(path, telling)
    }
    assert sorted(untold - UNTOLD.keys()) == []
    assert sorted(UNTOLD.keys() - untold) == []
