"""How people come in."""

from django.db import models

from identity.models.people import Person


class SignInLink(models.Model):
    """A one-time sign-in link of a demo installation; only a digest of its secret is stored."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
