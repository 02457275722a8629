"""What the page of a conversation says: states, figures under an answer, and errors in plain words.

Errors are the gateway's codes (`gateway/relay/errors.py`), and a few of our own.
"""

from django.utils.translation import gettext as _


def words() -> dict[str, object]:
    """For the page's script, in the reader's language."""
    return {
        "you": _("You"),
        "model": _("Model"),
        "thinking": _("Reasoning"),
        "waiting": _("Waiting for the first token …"),
        "answering": _("The model is answering."),
        "done": _("The answer is complete."),
        "stopped": _("Stopped. What was written until then is charged."),
        "cut": _("The answer reached the longest length allowed. Raise it under “Instructions, temperature, length”."),
        "first_token": _("first token {time}"),
        "input": _("{count} in"),
        "output": _("{count} out"),
        "reasoning": _("{count} reasoning"),
        "price_pending": _("The price is being settled; the request's page will show it."),
        "request": _("Request"),
        "same_call": _("The same call in curl, Python, Node"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "budgets": _("The project's budgets"),
        "gateway_said": _("What the gateway said"),
        "errors": _errors(),
        "other_error": _("The gateway refused the request."),
        "lost": _("The connection broke off. What was written until then may be charged; the request's page says so."),
    }


def _errors() -> dict[str, str]:
    return {
        "insufficient_quota": _("The budget is used up for now: what is left does not cover this request."),
        "rate_limit_exceeded": _("A limit is reached. Wait a moment, then send again."),
        "gateway_away": _("The gateway cannot be reached at the moment. Nothing was charged."),
        "overloaded": _("The gateway is overloaded. Try again shortly."),
        "ledger_unavailable": _("Billing is unavailable for a moment, so nothing is answered. Nothing was charged."),
        "no_replica": _("No engine serves this model at the moment. Nothing was charged."),
        "model_starting": _("An engine is being started for this model. Try again in a minute. Nothing was charged."),
        "engine_failed": _("The engine failed in the middle of its work."),
        "engine_unavailable": _("The engine is not ready. Try again shortly."),
        "model_without_price": _("This model has no price on your contract, so it cannot be called."),
        "model_not_found": _("The gateway does not serve this model any more."),
        "model_retired": _("This model is retired."),
        "model_not_allowed": _("The rules of your organisation do not allow this model."),
        "context_length_exceeded": _("The conversation is too long for the model. Start anew or shorten it."),
        "tenant_suspended": _("Your organisation is suspended: ask the operator."),
        "project_archived": _("The project is archived. Choose another one."),
        "invalid": _("One of the settings makes no sense. Check temperature and length."),
        "settlement_delayed": _("The answer is there, its price is not settled yet."),
        "stopping": _("The gateway is restarting. Try again shortly."),
        "starting": _("The gateway is starting. Try again shortly."),
        "http_403": _("Your role or your organisation's rules for keys do not allow this."),
        "http_404": _("This project or model is not there any more, or you are signed out. Load the page again."),
        "http_413": _("The conversation is too long. Start anew."),
        "http_0": _("The server cannot be reached. Check your connection, then try again."),
    }
