"""Pages that say why a sign-in did not work, in words that help and tell a stranger nothing."""

import logging
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from identity.errors import SignInRefusal

logger = logging.getLogger("beffroi.sign_in")

_REFUSALS: dict[SignInRefusal, str | Promise] = {
    SignInRefusal.EMAIL_MISSING: _("Your identity provider did not tell us your e-mail address. Ask whoever runs it."),
    SignInRefusal.EMAIL_UNVERIFIED: _(
        "Your identity provider says that it has not verified your e-mail address. Verify it there, then sign in again."
    ),
    SignInRefusal.DOMAIN_NOT_CONFIRMED: _(
        "Your organisation's identity provider vouches only for addresses of your organisation. If yours is one, your"
        " administrator can have its domain confirmed."
    ),
    SignInRefusal.OPERATOR: _("Operators of this installation sign in through the operators' identity provider only."),
    SignInRefusal.NO_OPERATOR: _("This way in is for the operators of this installation, and you are none of them."),
    SignInRefusal.MEMBER: _(
        "You are a member of an organisation with this account. Running the installation takes another account."
    ),
    SignInRefusal.OTHER_ACCOUNT: _(
        "Another account of your identity provider is linked to this e-mail address. If yours was made anew there, ask"
        " an administrator of your organisation to unlink the old one."
    ),
    SignInRefusal.SWITCHED_OFF: _("Your account is switched off. Ask an administrator of your organisation."),
    SignInRefusal.STRONGER_SIGN_IN: _(
        "This organisation requires a stronger sign-in, such as a second factor. Set it up at your identity provider."
    ),
}


def refused(request: HttpRequest, reason: SignInRefusal) -> HttpResponse:
    """403: the provider vouched for somebody who may not come in."""
    return _page(request, HTTPStatus.FORBIDDEN, _("You cannot come in this way"), _REFUSALS[reason])


def broken_off(request: HttpRequest, code: str) -> HttpResponse:
    """400: the browser came back with something that does not hold. What exactly is in our log, not on the page."""
    logger.warning("a sign-in did not hold: %s", code)
    return _page(
        request,
        HTTPStatus.BAD_REQUEST,
        _("This sign-in did not work"),
        _("It took too long, was used before, or did not come back as it should. Sign in again."),
    )


def cancelled(request: HttpRequest) -> HttpResponse:
    """403: the provider, or the person there, said no."""
    return _page(
        request,
        HTTPStatus.FORBIDDEN,
        _("Your identity provider did not let you in"),
        _("You left its page, or your account there may not use Beffroi. Try again, or ask whoever runs it."),
    )


def away(request: HttpRequest, code: str) -> HttpResponse:
    """503: the provider does not answer."""
    logger.warning("a provider is away: %s", code)
    answer = _page(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        _("Your identity provider does not answer"),
        _(
            "Nobody can sign in through it at the moment. Who is signed in already can go on, and programs with API"
            " keys notice nothing. Try again in a few minutes."
        ),
        has_break_glass=True,
    )
    answer["Retry-After"] = "60"
    return answer


def misconfigured(request: HttpRequest, code: str) -> HttpResponse:
    """502: the provider answers what we cannot use."""
    logger.error("a provider is not set up as it should be: %s", code)
    return _page(
        request,
        HTTPStatus.BAD_GATEWAY,
        _("Your identity provider is not set up for this"),
        _("Your administrator finds what is wrong under Settings, Sign-in, with “Test this connection”."),
        has_break_glass=True,
    )


def _page(
    request: HttpRequest,
    status: HTTPStatus,
    title: str | Promise,
    detail: str | Promise,
    *,
    has_break_glass: bool = False,
) -> HttpResponse:
    shown = {"title": title, "detail": detail, "has_break_glass": has_break_glass}
    answer = render(request, "console/sign_in/trouble.html", shown, status=status.value)
    answer["Cache-Control"] = "no-store"
    return answer
