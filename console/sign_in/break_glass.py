"""The page for the day when no identity provider answers: the one local administrator's password and code."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from console.sign_in.sessions import client_of, open_session
from identity.break_glass import TooManyTries, enter
from identity.models import SignIn


class BreakGlassForm(forms.Form):
    """Password and code. Password managers and pasting are welcome (WCAG 3.3.8)."""

    password = forms.CharField(
        label=_("Password"),
        max_length=200,
        strip=True,
        widget=forms.PasswordInput(attrs={"class": "form-control", "autocomplete": "current-password"}),
    )
    code = forms.CharField(
        label=_("Code of your authenticator"),
        max_length=20,
        widget=forms.TextInput(
            attrs={"class": "form-control", "autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
    )


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def break_glass(request: HttpRequest) -> HttpResponse:
    """403 where they are wrong, 429 where there were too many tries; neither says which of the two was wrong."""
    form = BreakGlassForm(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        given, client = form.cleaned_data, client_of(request)
        try:
            person = enter(password=given["password"], code=given["code"], address=client.address, now=timezone.now())
        except TooManyTries:
            status = 429
            form.add_error(None, _("Too many tries. Wait 15 minutes, or run the command again at the machine."))
        else:
            if person is not None:
                open_session(request, person, SignIn.Door.BREAK_GLASS)
                return redirect("front")
            status = 403
            form.add_error(None, _("Password or code is wrong, or the code was used before."))
    return render(request, "console/sign_in/break_glass.html", {"form": form}, status=status)
