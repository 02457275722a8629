"""Who pays for a tenant where that is another legal entity, and its people, who see invoices only."""

from django.db import models

from billing.models.closings import LegalParty, PartyColumns
from identity.models import Person, Tenant


class Payer(PartyColumns):
    """A legal entity that an owner named to pay for the tenant. One that is not ended a tenant.

    accepted_at: since when it does; before, nothing is made out to it, and nothing of it is known but its people
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="payers", db_index=False)
    named_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(ended_at=None), name="tenant_has_one_payer_at_a_time"
            )
        ]

    def as_party(self) -> LegalParty:
        """The same as who a tenant is in law, unsaved: what makes invoices reads that."""
        said = {field.name: getattr(self, field.name) for field in PartyColumns._meta.get_fields()}
        return LegalParty(tenant=self.tenant, **said)


class PayerPerson(models.Model):
    """Somebody of the payer's, by an address. person: who signed in with it.

    ended_at: it is not asked any more, or may look no more
    """

    payer = models.ForeignKey(Payer, on_delete=models.PROTECT, related_name="people", db_index=False)
    email = models.EmailField()  # in lower case, as a person's
    person = models.ForeignKey(Person, null=True, on_delete=models.CASCADE, related_name="+")
    invited_at = models.DateTimeField()
    joined_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["payer", "email"], condition=models.Q(ended_at=None), name="payer_has_an_address_once"
            )
        ]
        indexes = [models.Index(fields=["email"], name="payer_person_by_email")]
