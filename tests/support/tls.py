"""A gateway process that speaks TLS itself, with a certificate of the moment."""

import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.gateway import GatewayProcess


class GatewayOverTls(GatewayProcess):
    """As `GatewayProcess`; its connections are TLS and trust its certificate."""

    def __init__(self, folder: Path, limits: str = "", **environment: str) -> None:
        certificate, key = make_certificate(folder)
        self.arguments = ("--tls-certificate", str(certificate), "--tls-key", str(key))
        self.context = ssl.create_default_context(cafile=str(certificate))
        super().__init__(folder, limits, **environment)

    def http_connection(self) -> HTTPConnection:
        return HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context)

    def connect(self) -> socket.socket:
        return self.context.wrap_socket(super().connect(), server_hostname="127.0.0.1")
