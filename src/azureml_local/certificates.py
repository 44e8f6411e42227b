"""TLS for a loopback server: a certificate authority of the workspace's own, trusted by nobody but its clients."""

import os
from pathlib import Path

import certifi
import trustme

from azureml_local.connection import BUNDLES
from azureml_local.disk import write_whole
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
        # Half a certificate would be taken for one.
        write_whole(own, authority.cert_pem.bytes())
        write_whole(server, authority.issue_cert(*HOSTS).private_key_and_cert_chain_pem.bytes())
    trusted = {Path(certifi.where()), *(Path(os.environ[name]) for name in BUNDLES if os.environ.get(name))}
    readable = [file for file in sorted(trusted - {home.bundle}) if file.is_file() and os.access(file, os.R_OK)]
    write_whole(home.bundle, b"\n".join(file.read_bytes() for file in (*readable, own)))
    return server
