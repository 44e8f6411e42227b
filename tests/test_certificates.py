"""What clients of a workspace trust."""

import ssl

import certifi
import pytest
import trustme

from azureml_local.certificates import BUNDLES, server_certificate
from azureml_local.home import Home


def authorities(file) -> set[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(file))
    return {certificate["serialNumber"] for certificate in context.get_ca_certs()}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


def test_clients_trust_what_the_shell_trusts_as_well(home, tmp_path, monkeypatch):
    company = tmp_path / "company.pem"
    trustme.CA().cert_pem.write_to_path(str(company))
    monkeypatch.setenv("SSL_CERT_FILE", str(company))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    server_certificate(home)
    own = authorities(home.certificates / "authority.pem")
    assert authorities(home.bundle) == authorities(certifi.where()) | authorities(company) | own
    assert len(own) == 1


def test_a_workspace_keeps_its_authority(home, monkeypatch):
    server = server_certificate(home)
    key, bundle = server.read_bytes(), home.bundle.read_bytes()
    monkeypatch.setenv("SSL_CERT_FILE", str(home.bundle))
    assert server_certificate(home).read_bytes() == key
    assert home.bundle.read_bytes() == bundle
