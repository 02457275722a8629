"""How e-mails went of late, for those who run the platform: when and why, never to whom or about what."""

from dataclasses import dataclass

from identity.models import Channel, NoticeDelivery

State = NoticeDelivery.State
LOOKED_AT = 1_000  # the newest e-mails: whether mail works is seen by those, and the table keeps a year
FAILURES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RecentMail:
    """The newest e-mails: how many there were, how many in each state, the last that was taken by the mail server and
    those that were not, newest first.
    """

    looked_at: int
    by_state: dict[str, int]
    last_sent: NoticeDelivery | None
    failures: list[NoticeDelivery]

    @property
    def sent(self) -> int:
        """Taken by the mail server."""
        return self.by_state.get(State.SENT, 0)

    @property
    def waiting(self) -> int:
        """On their way, those included that failed and are tried again."""
        return self.by_state.get(State.PENDING, 0) + self.by_state.get(State.FAILED, 0)

    @property
    def given_up(self) -> int:
        """Never tried again."""
        return self.by_state.get(State.GIVEN_UP, 0)


def recent_mail() -> RecentMail:
    """What became of the newest e-mails. One query."""
    mails = NoticeDelivery.objects.filter(channel=Channel.EMAIL).select_related("notice").defer("notice__context")
    newest = list(mails.order_by("-pk")[:LOOKED_AT])
    by_state: dict[str, int] = {}
    for delivery in newest:
        by_state[delivery.state] = by_state.get(delivery.state, 0) + 1
    sent = [delivery for delivery in newest if delivery.sent_at is not None]
    failures = [delivery for delivery in newest if delivery.state in (State.FAILED, State.GIVEN_UP)]
    last_sent = max(sent, key=lambda delivery: delivery.sent_at or delivery.created_at, default=None)
    return RecentMail(len(newest), by_state, last_sent, failures[:FAILURES_SHOWN])
