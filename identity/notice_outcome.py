"""What became of one attempt to deliver."""

from dataclasses import dataclass

from identity.models import NoticeDelivery

Fault = NoticeDelivery.Fault


@dataclass(frozen=True, slots=True)
class Outcome:
    """Delivered (`Fault.NONE`), or why not.

    status: the receiver's HTTP or SMTP status, where it gave one
    is_final: trying again would change nothing
    """

    fault: Fault = Fault.NONE
    status: int | None = None
    is_final: bool = False

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.fault == Fault.NONE
