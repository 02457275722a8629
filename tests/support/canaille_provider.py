# mypy: ignore-errors
"""Runs in the environment that has canaille: one client and one person, in memory. Prints {"issuer": ...} when ready.

canaille does not say whether an address is verified.
"""

import json
import os
import threading

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server


def main() -> None:
    """Serve until killed."""
    given = os.environ
    key = RSAKey.generate_key(2048, auto_kid=True)
    config = {
        "SECRET_KEY": os.urandom(32).hex(),
        "CANAILLE": {"DATABASE": "memory", "LANGUAGE": "en", "HTMX": False},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)]},
        "WTF_CSRF_ENABLED": True,
    }
    server = make_server("127.0.0.1", int(given.get("PORT", "0")), None, threaded=True)
    config["SERVER_NAME"] = f"127.0.0.1:{server.port}"
    config["PREFERRED_URL_SCHEME"] = "http"
    app = create_app(config=config, env_file=None)
    with app.app_context(), Backend.instance.session():
        person = models.User(
            user_name="nadia",
            formatted_name="Nadia",
            family_name="Nadia",
            emails=[given["EMAIL"]],
            password=given["PASSWORD"],
        )
        Backend.instance.save(person)
        Backend.instance.save(models.Group(display_name=given["GROUP"], members=[person]))
        client = models.Client(
            client_id=given["CLIENT_ID"],
            client_secret=given["CLIENT_SECRET"],
            client_name="Beffroi",
            redirect_uris=[given["REDIRECT_URI"]],
            post_logout_redirect_uris=[given["AFTER_URI"]],
            grant_types=["authorization_code"],
            response_types=["code"],
            scope=["openid", "email", "profile", "groups"],
            token_endpoint_auth_method="client_secret_basic",
            id_token_signed_response_alg="RS256",
        )
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
    server.app = app
    threading.Thread(target=server.serve_forever).start()
    print(json.dumps({"issuer": f"http://127.0.0.1:{server.port}"}), flush=True)


main()
