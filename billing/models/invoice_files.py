"""How far the files of an invoice are, while they are not all there. The files themselves are `InvoiceFile`."""

from django.db import models

from billing.models.invoices import Invoice


class InvoiceDrawing(models.Model):
    """Work on an invoice's files. Gone when all are there.

    lease_until: a worker is at it, or it waits so long after a failure
    attempts: how often it failed; fault: what the last one was, in words for operators; "libraries": the machine lacks
    those that draw text
    """

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, primary_key=True, related_name="drawing")
    lease_until = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    fault = models.CharField(max_length=500, blank=True)
