"""An Azurite that accepts tokens, and the endpoint that gives an app in Azure its tokens.

Azurite checks the claims of a token but not its signature (`--oauth basic`, which requires TLS).
The endpoint is that of App Service. Source: learn.microsoft.com, "How to use managed identities for
App Service and Azure Functions", REST endpoint reference, api-version 2019-08-01.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flowlog_core.demo.azurite import Azurite, running_azurite

_HEADER = "made-up-secret"
_TENANT = "00000000-0000-0000-0000-00000000000a"


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class TokenRequest(NamedTuple):
    """What the endpoint was asked for."""

    resource: str
    client_id: str | None
    status: int


class Identity:
    """An app's one identity: the system-assigned one, or a user-assigned one with a client id.

    Attributes:
        environment: what Azure sets for the app.
        client_id: that of a user-assigned identity.
        asked: every request so far.
    """

    def __init__(self, client_id: str | None) -> None:
        self.client_id = client_id
        self.asked: list[TokenRequest] = []
        identity = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                resource, asked_for = query["resource"][0], query.get("client_id", [None])[0]
                is_allowed = self.headers["X-IDENTITY-HEADER"] == _HEADER and query[
                    "api-version"
                ] == ["2019-08-01"]
                status = 401 if not is_allowed else 200 if asked_for == client_id else 400
                identity.asked.append(TokenRequest(resource, asked_for, status))
                answer = _token(resource) if status == 200 else {"message": "no such identity"}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.environment = {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.server.server_address[1]}/msi/token",
            "IDENTITY_HEADER": _HEADER,
        }


@contextmanager
def running_identity(client_id: str | None = None) -> Iterator[Identity]:
    """The endpoint of an app that has this one identity; without a client id, its own."""
    identity = Identity(client_id)
    thread = Thread(target=identity.server.serve_forever)
    thread.start()
    try:
        yield identity
    finally:
        identity.server.shutdown()
        thread.join()
        identity.server.server_close()


@contextmanager
def running_azurite_for_identities(folder: Path) -> Iterator[tuple[Azurite, Path]]:
    """An Azurite that speaks TLS and takes tokens, and the certificate to trust it by."""
    certificate, key = folder / "azurite.pem", folder / "azurite.key"
    authority = _write_certificates(certificate, key)
    options = ["--oauth", "basic", "--cert", str(certificate), "--key", str(key)]
    with running_azurite(options=options) as azurite:
        yield azurite, authority


def _token(resource: str) -> dict[str, str]:
    """A token of the right claims, without a signature."""
    now = int(time.time())
    claims = {
        "aud": resource,
        "iss": f"https://sts.windows.net/{_TENANT}/",
        "tid": _TENANT,
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    signed = ".".join(urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
    return {
        "access_token": f"{signed}.bm9uZQ",
        "expires_on": str(now + 3600),
        "resource": resource,
        "token_type": "Bearer",
    }


def _write_certificates(certificate: Path, key: Path) -> Path:
    """Write the certificate of 127.0.0.1 and its key; the authority that issued it is returned."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = (
        _certificate("Made-up authority", authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    address = x509.IPAddress(ip_address("127.0.0.1"))
    server = (
        _certificate("127.0.0.1", server_key, authority_key)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate.write_bytes(server.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(server_key.private_bytes(pem, *plain))
    trusted = certificate.with_name("authority.pem")
    trusted.write_bytes(authority.public_bytes(pem))
    return trusted


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, authority_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """With the identifiers of both keys, which Python 3.13 wants to see."""
    now = datetime.now(UTC)
    issuer = authority_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named("Made-up authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
