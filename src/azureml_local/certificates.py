"""TLS for a loopback server: a certificate authority of the workspace's own, trusted by nobody but its clients."""

from pathlib import Path

import certifi
import trustme

from azureml_local.home import Home

HOSTS = ("127.0.0.1", "localhost")


def server_certificate(home: Home) -> Path:
    """The PEM file with the server's key and certificate chain; made once for each workspace.

    Writes the bundle that clients trust beside it: the public authorities and our own, because the variables that name
    a bundle replace certifi's.
    """
    server = home.certificates / "server.pem"
    if not (server.exists() and home.bundle.exists()):
        home.certificates.mkdir(mode=0o700, exist_ok=True)
        authority = trustme.CA(organization_name="azureml-local")
        own = authority.cert_pem.bytes()
        home.bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + own)
        authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.write_to_path(str(server))
    return server
