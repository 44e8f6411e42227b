"""Who may call the workspace: tokens and signed addresses, both made with one random secret of the workspace."""

import hashlib
import hmac
import secrets
import time
from pathlib import Path
from urllib.parse import quote

import jwt
from jwt.types import Options

from azureml_local.disk import write_whole

ALGORITHM = "HS256"
LIFETIME = 24 * 3600  # seconds
TENANT = "00000000-0000-0000-0000-000000000000"

READ, WRITE = "rl", "racwdl"  # what a signature permits, in the letters of shared access signatures
# The letter that a signature must have for a method; any other method takes the right to write.
NEEDED = {"GET": "r", "HEAD": "r", "DELETE": "d"}


def read_secret(path: Path) -> str:
    """The workspace's secret; drawn at random on the first call, which is that of the process that serves."""
    if not (path.exists() and path.stat().st_size):
        write_whole(path, secrets.token_urlsafe(48).encode())  # with an empty secret anybody could sign
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
            options: Options = {"verify_aud": False, "require": ["exp"]}
            jwt.decode(token, self._secret, algorithms=[ALGORITHM], options=options)
        except (jwt.InvalidTokenError, ValueError):  # the latter for what is no text of a token at all
            return False
        return True

    def sign(self, scope: str, lifetime: int = LIFETIME, permissions: str = READ) -> str:
        """The query that opens the path `scope` and everything below it, as a shared access signature does."""
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lifetime))
        signature = self._digest(f"{scope}\n{expiry}\n{permissions}")
        # Storage clients pass on only the fields that they know of a signature, so the path is its `sr`, the resource.
        return f"sv=2024-11-04&sr={quote(scope, safe='')}&sp={permissions}&se={quote(expiry)}&sig={signature}"

    def is_signed(self, method: str, path: str, query: dict[str, str]) -> bool:
        """Whether the query is ours, still valid, and permits the method on the path."""
        scope, expiry, permissions = (query.get(field, "") for field in ("sr", "se", "sp"))
        expected = self._digest(f"{scope}\n{expiry}\n{permissions}")
        if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode()):
            return False
        in_time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) < expiry
        covered = path == scope or path.startswith(scope.rstrip("/") + "/")
        return in_time and covered and NEEDED.get(method, "w") in permissions
