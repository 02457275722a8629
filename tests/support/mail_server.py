"""A mail server for tests: speaks as much SMTP as Python's client does, and keeps what it was given."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

# What to answer to a recipient.
Verdict = Callable[[str], str]
TAKEN = "250 ok"


class MailServer(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1; `mails` are the messages, `recipients` whom each was for."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.verdict = verdict
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 tests")
        recipients: list[str] = []
        while line := self.rfile.readline():
            words = line.decode().strip()
            match words[:4].upper():
                case "QUIT":
                    self._say("221 bye")
                    return
                case "RCPT":
                    answer = self.server.verdict(words)
                    recipients += [words.partition("<")[2].partition(">")[0]] * answer.startswith("250")
                    self._say(answer)
                case "DATA":
                    self._say("354 go on")
                    self._take(recipients)
                    recipients = []
                    self._say(TAKEN)
                case _:
                    self._say(TAKEN)

    def _take(self, recipients: list[str]) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.server.mails.append(mail)
        self.server.recipients.append(recipients)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server(verdict: Verdict = lambda _: TAKEN) -> Iterator[MailServer]:
    """A running server."""
    with MailServer(verdict) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(timeout=10)
