"""The folder that holds one workspace, and what its files are called."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from azureml_local.errors import InputError

HOME_VARIABLE = "AZUREML_LOCAL_HOME"
SPECIAL = re.compile(r"""[\s?;&|<>()$`"'\\*\[\]{}!]""")


@dataclass(frozen=True)
class Home:
    """A workspace's folder; private to the user, as everything in it."""

    path: Path

    @classmethod
    def choose(cls, path: Path | None) -> "Home":
        """The folder asked for, else the one that AZUREML_LOCAL_HOME names, else ~/.azureml-local."""
        chosen = path or Path(os.environ.get(HOME_VARIABLE) or default_folder())
        absolute = chosen.expanduser().absolute()
        try:
            real = absolute.resolve()
        except (OSError, RuntimeError) as error:  # the latter for a link to itself
            raise InputError(f"A workspace cannot be kept at {absolute}: the path leads nowhere ({error}).") from error
        for path in (absolute, real):
            if special := SPECIAL.search(str(path)):
                raise InputError(
                    f"A workspace cannot be kept at {path}: paths are put into commands as they are, and "
                    f"{special.group()!r} means something to a shell. Choose another folder."
                )
        return cls(absolute)

    def command(self, words: str) -> str:
        """What to type to do something with this workspace, whatever the shell's variables are."""
        return f"azureml-local {words}{'' if self.path == default_folder() else f' --home {self.path}'}"

    def create(self) -> None:
        """Make the folder, closed to other users. Raises InputError for one that has somebody's files in it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.secret.exists():
            first = {path.name for path in (self.lock, self.users, self.log, self.secret.with_suffix(".new"))}
            if others := sorted({path.name for path in self.path.iterdir()} - first):
                raise InputError(
                    f"A workspace cannot be kept at {self.path}: there is something else in the folder, such as "
                    f"{others[0]!r}, and a workspace removes what it does not know. Choose a new or an empty folder."
                )
        self.path.chmod(0o700)

    @property
    def database(self) -> Path:
        """What the workspace knows."""
        return self.path / "workspace.db"

    @property
    def blobs(self) -> Path:
        """One folder for each blob container."""
        return self.path / "blobs"

    @property
    def secret(self) -> Path:
        """The key that signs tokens and addresses."""
        return self.path / "secret"

    @property
    def certificates(self) -> Path:
        """The workspace's own certificate authority and what it signed."""
        return self.path / "certificates"

    @property
    def bundle(self) -> Path:
        """The public certificate authorities and our own in one file."""
        return self.certificates / "bundle.pem"

    @property
    def state(self) -> Path:
        """Process id and addresses of the running workspace; absent when none runs."""
        return self.path / "running.json"

    @property
    def lock(self) -> Path:
        """Locked by the workspace's process as long as it lives."""
        return self.path / "lock"

    @property
    def users(self) -> Path:
        """Locked, each for itself, by the commands that need the running workspace."""
        return self.path / "users.lock"

    @property
    def ports(self) -> Path:
        """The ports of the last run: they are taken again when they are free."""
        return self.path / "ports.json"

    @property
    def log(self) -> Path:
        """What the workspace's process writes."""
        return self.path / "workspace.log"

    def entries(self) -> list[Path]:
        """What is in the folder and belongs to the workspace, but its secret."""
        own = {"artifacts", "deployments", "environments", "jobs", "reserve", "reuse"}
        own |= {
            path.name
            for path in (self.blobs, self.certificates, self.state, self.lock, self.users, self.ports, self.log)
        }
        databases = (self.database.name, self.runs_database.name)
        own.add(self.secret.with_suffix(".new").name)
        own |= {f"{name}{end}" for name in databases for end in ("", "-wal", "-shm")}
        return [self.path / name for name in sorted(own) if (self.path / name).exists()]

    @property
    def runs_database(self) -> Path:
        """What MLflow knows: parameters and metrics of the runs."""
        return self.path / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """MLflow's address of the runs; jobs and the user's own scripts share it."""
        return f"sqlite:///{self.runs_database}"


def default_folder() -> Path:
    """Where a workspace is kept if nothing else is asked for."""
    return Path.home() / ".azureml-local"
