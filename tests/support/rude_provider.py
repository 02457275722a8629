"""An identity provider that a test steers: it signs whatever it is told to, rotates its keys, or goes away."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT, SECRET = "beffroi", "s3cret & söng"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass
class RudeProvider:
    """`claims` go into the next ID token; `header`, `algorithm`, `key` change how it is signed."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    signing_key: Any = None
    header: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    key_id: str = "first"
    keys: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    last_form: dict[str, str] = field(default_factory=dict)

    def rotate(self, key_id: str) -> None:
        """A new key; the old one is published no more."""
        self.key_id = key_id
        self.keys = {key_id: rsa_key(key_id)}

    def public_pem(self) -> bytes:
        """The public key as text, which a careless verifier takes for a shared secret."""
        key = self.keys[self.key_id].public_key()
        return bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, payload: dict[str, Any]) -> str:
        """A token of the payload, signed as steered."""
        key: Any = self.keys[self.key_id] if self.signing_key is None else self.signing_key
        return jwt.encode(payload, key, self.algorithm, headers={"kid": self.key_id} | self.header)

    def logout_token(self, **changes: Any) -> str:
        """A logout token; a claim that is None is left out."""
        now = int(time.time())
        payload = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 120,
            "jti": "one",
            "events": {LOGOUT_EVENT: {}},
        } | changes
        return self.sign({name: value for name, value in payload.items() if value is not None})

    def authorize(self, address: str) -> str:
        """What a browser is sent back to us with, once the person has signed in there."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked.get("nonce", "")
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        """What the endpoint of the path answers."""
        self.asked.append(path)
        if self.status != 200:
            return self.status, {}
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._metadata()
            case "/jwks":
                return 200, {"keys": [_jwk(kid, key) for kid, key in self.keys.items()]}
            case "/userinfo":
                return 200, self.user_info
            case "/token":
                return self._token(form)
        return 404, {}

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "code_challenge_methods_supported": ["S256"],
            "backchannel_logout_supported": True,
        } | self.metadata

    def _token(self, form: dict[str, str]) -> tuple[int, Any]:
        self.last_form = form
        if form.get("authorization") != _basic(CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        if form.get("code") not in self.codes:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        nonce = self.codes.pop(form["code"])
        payload = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce} | self.claims
        token = self.sign({name: value for name, value in payload.items() if value is not None})
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


@lru_cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key of this name, made once: it takes a while."""
    return rsa.generate_private_key(65537, 2048)


def _basic(user: str, word: str) -> str:

    return "Basic " + base64.b64encode(f"{quote_plus(user)}:{quote_plus(word)}".encode()).decode()


def _jwk(key_id: str, key: Any) -> dict[str, Any]:
    kind = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    public: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return public | {"kid": key_id, "use": "sig"}


@contextmanager
def rude_provider() -> Iterator[RudeProvider]:
    """A provider on a port of this machine."""
    provider = RudeProvider()
    provider.rotate("first")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._answer(form | {"authorization": self.headers.get("Authorization", "")})

        def _answer(self, form: dict[str, str]) -> None:
            status, told = provider.answer(urlsplit(self.path).path, form)
            body = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield provider
    server.shutdown()
    server.server_close()
    thread.join(5)
