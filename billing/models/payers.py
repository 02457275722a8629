"""Who pays for a tenant where that is another legal entity, and its people, who see invoices only."""

from django.db import models

from billing.models.closings import LegalParty
from identity.models import Person, Tenant


class Payer(models.Model):
    """A legal entity that an owner named to pay for the tenant. One that is not ended a tenant.

    accepted_at: since when it does; before, nothing is made out to it, and only `email` of it is known
    language: of its invoices; "": that of the house
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="payers", db_index=False)
    legal_name = models.CharField(max_length=200, blank=True)
    registration_number = models.CharField(max_length=64, blank=True)
    vat_number = models.CharField(max_length=16, blank=True)
    address = models.CharField(max_length=300, blank=True)
    postcode = models.CharField(max_length=16, blank=True)
    city = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True)
    billing_email = models.CharField(max_length=254, blank=True)
    buyer_reference = models.CharField(max_length=100, blank=True)
    contract_reference = models.CharField(max_length=100, blank=True)
    purchase_order = models.CharField(max_length=100, blank=True)
    language = models.CharField(max_length=8, blank=True)
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
        fields = [field.name for field in LegalParty._meta.concrete_fields if field.name not in ("id", "tenant")]  # noqa: SLF001
        return LegalParty(tenant=self.tenant, **{name: getattr(self, name) for name in fields})


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
