"""TLS for a loopback server: a certificate authority of the workspace's own, trusted by nobody but its clients."""

import os
from pathlib import Path

import certifi
import trustme

from azureml_local.connection import BUNDLES
from azureml_local.home import Home

HOSTS = ("127.0.0.1", "localhost")


def server_certificate(home: Home) -> Path:
    """The PEM file with the server's key and certificate chain; made once for each workspace.

    Writes the bundle that clients trust beside it: the public authorities, those that this shell trusts, such as a
    company's proxy, and our own, because the variables that name a bundle replace all others.
    """
    server, own = home.certificates / "server.pem", home.certificates / "authority.pem"
    if not (server.exists() and own.exists()):
        home.certificates.mkdir(mode=0o700, exist_ok=True)
        authority = trustme.CA(organization_name="azureml-local")
        _write(own, authority.cert_pem.bytes())
        _write(server, authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.bytes())
    trusted = {Path(certifi.where()), *(Path(os.environ[name]) for name in BUNDLES if os.environ.get(name))}
    readable = [file for file in sorted(trusted - {home.bundle}) if file.is_file() and os.access(file, os.R_OK)]
    _write(home.bundle, b"\n".join(file.read_bytes() for file in (*readable, own)))
    return server


def _write(file: Path, content: bytes) -> None:
    """Whole, or not at all: half a certificate would be taken for one."""
    written = file.with_suffix(".new")
    written.unlink(missing_ok=True)
    written.touch(mode=0o600)
    written.write_bytes(content)
    written.replace(file)
