"""The exporter with TLS and passwords, as Prometheus is configured for it."""

from __future__ import annotations

import base64
import datetime
import http.client
import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.wait import until
from tests.workers.stage import Stage

USER, PASSWORD = "prometheus", "s3cret:with colon"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@dataclass(frozen=True)
class Issued:
    """Certificate and key, as files and as what signs others."""

    cert: Path
    key: Path
    certificate: x509.Certificate
    secret: ec.EllipticCurvePrivateKey


def issue(folder: Path, name: str, by: Issued | None = None) -> Issued:
    """A certificate of 127.0.0.1; without ``by`` one that may sign."""
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), True)
        .sign(by.secret if by else secret, hashes.SHA256())
    )
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Issued(cert, key, certificate, secret)


def metrics(stage: Stage, **settings: object) -> None:
    stage.config["metrics"] = {"listen": "127.0.0.1:0", **settings}


def port(stage: Stage) -> int:
    found = re.search(r"metrics (https?)://127\.0\.0\.1:(\d+)/metrics", stage.log())
    assert found, stage.log()
    return int(found[2])


def get(
    stage: Stage, tls: ssl.SSLContext | None, path: str = "/metrics", login: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    client: http.client.HTTPConnection = (
        http.client.HTTPSConnection("127.0.0.1", port(stage), timeout=5.0, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port(stage), timeout=5.0)
    )
    headers = {"Accept-Encoding": "identity"}
    if login is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    try:
        client.request("GET", path, headers=headers)
        response = client.getresponse()
        return response.status, response.headers, response.read()
    finally:
        client.close()


def trusting(issued: Issued, client: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(issued.cert))
    if client:
        context.load_cert_chain(client.cert, client.key)
    return context


def test_metrics_over_tls(real: Stage, tmp_path: Path) -> None:
    issued = issue(tmp_path, "farm")
    metrics(real, tls_cert_file=str(issued.cert), tls_key_file=str(issued.key))
    with real:
        assert f"metrics https://127.0.0.1:{port(real)}/metrics" in real.log()
        status, _, body = get(real, trusting(issued))
        assert status == 200
        assert b"\nds_farm_up 1.0\n" in body or b"\nds_farm_up 1\n" in body
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            get(real, None)
        assert get(real, trusting(issued))[0] == 200


def test_who_does_not_finish_a_handshake_holds_up_nobody(real: Stage, tmp_path: Path) -> None:
    issued = issue(tmp_path, "farm")
    metrics(real, tls_cert_file=str(issued.cert), tls_key_file=str(issued.key))
    with real:
        silent = [socket.create_connection(("127.0.0.1", port(real))) for _ in range(20)]
        silent[0].sendall(b"\x16\x03\x01\x02\x00\x01")
        assert get(real, trusting(issued))[0] == 200
        for each in silent:
            each.close()
        assert get(real, trusting(issued))[0] == 200


def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(
    real: Stage, tmp_path: Path
) -> None:
    first = issue(tmp_path, "farm")
    metrics(real, tls_cert_file=str(first.cert), tls_key_file=str(first.key))
    with real:
        assert get(real, trusting(first))[0] == 200
        trusts_first = trusting(first)
        second = issue(tmp_path, "farm")
        assert get(real, trusting(second))[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get(real, trusts_first)
        trusts_second = trusting(second)
        second.cert.write_text("-----BEGIN CERTIFICATE-----\nno\n")
        assert get(real, trusts_second)[0] == 200
        until(lambda: "certificate that was read before stays" in real.log(), "a warning")


def test_clients_need_a_certificate_if_that_is_asked(real: Stage, tmp_path: Path) -> None:
    issued, signer = issue(tmp_path, "farm"), issue(tmp_path, "signer")
    client, stranger = issue(tmp_path, "client", signer), issue(tmp_path, "stranger")
    metrics(
        real,
        tls_cert_file=str(issued.cert),
        tls_key_file=str(issued.key),
        tls_client_ca_file=str(signer.cert),
    )
    with real:
        assert get(real, trusting(issued, client))[0] == 200
        for without in (trusting(issued), trusting(issued, stranger)):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                get(real, without)


def test_passwords(real: Stage) -> None:
    metrics(real, basic_auth_users={USER: HASH})
    with real:
        for _ in range(2):  # the second time from memory
            status, _, body = get(real, None, login=f"{USER}:{PASSWORD}")
            assert (status, b"ds_farm_up" in body) == (200, True)
        wrong = (None, "", USER, f"{USER}:", f"{USER}:{HASH}", f"nobody:{PASSWORD}", f"{USER}:\0")
        for login in (*wrong, f"{USER}:{PASSWORD} ", f":{PASSWORD}", "x" * 5000 + ":y"):
            status, headers, body = get(real, None, login=login)
            assert status == 401, login
            assert headers["WWW-Authenticate"].startswith('Basic realm="ds_farm metrics"')
            assert b"ds_farm_up" not in body
        assert get(real, None, "/nowhere")[0] == 401
        assert get(real, None, "/healthz")[0] == 200
        assert get(real, None, "/readyz")[0] == 200
        assert PASSWORD not in real.log()
        assert HASH not in real.log()


@pytest.mark.parametrize("bad", ["missing", "other key", "no PEM"])
def test_a_wrong_certificate_stops_the_start_with_its_reason(
    real: Stage, tmp_path: Path, bad: str
) -> None:
    issued = issue(tmp_path, "farm")
    reason = {"missing": "No such file", "other key": "mismatch", "no PEM": "farm.pem"}[bad]
    if bad == "missing":
        issued.cert.unlink()
    elif bad == "other key":
        issue(tmp_path, "other").key.rename(issued.key)
    else:
        issued.cert.write_text("no certificate")
    metrics(real, tls_cert_file=str(issued.cert), tls_key_file=str(issued.key))
    real.launch()
    assert real.wait() != 0
    assert reason in real.log()
    real.__exit__(None, None, None)
