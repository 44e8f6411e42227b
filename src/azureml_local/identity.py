"""Who may call the workspace: tokens and signed addresses, both made with one random secret of the workspace."""

import hashlib
import hmac
import secrets
import time
from pathlib import Path
from urllib.parse import quote

import jwt
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

ALGORITHM = "HS256"
LIFETIME = 24 * 3600  # seconds
TENANT = "00000000-0000-0000-0000-000000000000"


def read_secret(path: Path) -> str:
    """The workspace's secret; drawn at random on the first call."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


class Identity:
    """Issues and checks what opens the workspace."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        # Clients see this one, never the secret that signs.
        self.header = self._digest("identity header")
        self.tracking_token = self._digest("MLflow")  # opens MLflow's REST interface, and nothing else

    def _digest(self, text: str) -> str:
        return hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def issue_token(self, resource: str) -> tuple[str, int]:
        """A bearer token whose audience is `resource`, and when it expires (seconds since the epoch)."""
        now = int(time.time())
        claims = {
            "aud": resource,
            "iss": "azureml-local",
            "tid": TENANT,
            "oid": TENANT,
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM), now + LIFETIME

    def is_token(self, token: str) -> bool:
        """Whether we issued the bearer token and it has not expired."""
        try:
            jwt.decode(token, self._secret, algorithms=[ALGORITHM], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return False
        return True

    def sign(self, scope: str, lifetime: int = LIFETIME) -> str:
        """The query that opens the path `scope` and everything below it, as a shared access signature does."""
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lifetime))
        signature = self._digest(f"{scope}\n{expiry}")
        # Storage clients pass on only the fields that they know of a signature, so the path is its `sr`, the resource.
        return f"sv=2024-11-04&sr={quote(scope, safe='')}&sp=racwdl&se={quote(expiry)}&sig={signature}"

    def is_signed(self, path: str, query: dict[str, str]) -> bool:
        """Whether the query is ours, still valid, and covers the path."""
        scope, expiry = query.get("sr", ""), query.get("se", "")
        if not hmac.compare_digest(self._digest(f"{scope}\n{expiry}"), query.get("sig", "")):
            return False
        in_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) < expiry
        return in_time and (path == scope or path.startswith(scope.rstrip("/") + "/"))


def identity_app(identity: Identity) -> FastAPI:
    """The managed-identity endpoint that an untouched `DefaultAzureCredential()` asks for tokens."""
    app = FastAPI(openapi_url=None)

    @app.get("/msi/token")
    def token(request: Request, resource: str = "") -> JSONResponse:
        header = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(header.encode(), identity.header.encode()):
            return JSONResponse({"error": "unauthorized_client", "error_description": "Wrong identity header."}, 401)
        access_token, expires_on = identity.issue_token(resource)
        body = {"access_token": access_token, "expires_on": str(expires_on), "resource": resource}
        return JSONResponse({**body, "token_type": "Bearer"})

    return app
