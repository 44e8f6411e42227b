"""TLS for a loopback server: a certificate authority of the workspace's own, trusted by nobody but its clients."""

import os
from pathlib import Path

import certifi
import trustme

from azureml_local.home import Home

HOSTS = ("127.0.0.1", "localhost")
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # variables that name the bundle of a shell


def server_certificate(home: Home) -> Path:
    """The PEM file with the server's key and certificate chain; made once for each workspace.

    Writes the bundle that clients trust beside it: the public authorities, those that this shell trusts, such as a
    company's proxy, and our own, because the variables that name a bundle replace all others.
    """
    server, own = home.certificates / "server.pem", home.certificates / "authority.pem"
    if not (server.exists() and own.exists()):
        home.certificates.mkdir(mode=0o700, exist_ok=True)
        authority = trustme.CA(organization_name="azureml-local")
        authority.cert_pem.write_to_path(str(own))
        authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.write_to_path(str(server))
    trusted = {Path(certifi.where()), *(Path(os.environ[name]) for name in BUNDLES if os.environ.get(name))}
    readable = [file for file in sorted(trusted - {home.bundle}) if file.is_file() and os.access(file, os.R_OK)]
    home.bundle.write_bytes(b"\n".join(file.read_bytes() for file in (*readable, own)))
    return server
