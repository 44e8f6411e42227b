"""One workspace: its store, its files, its engine and its deployments, put together from a folder."""

from azureml_local.assets import Assets
from azureml_local.blobs import Blobs
from azureml_local.endpoints import Endpoints
from azureml_local.home import Home
from azureml_local.identity import Identity, read_secret
from azureml_local.jobs import Jobs
from azureml_local.serving import Deployments
from azureml_local.settings import DEFAULTS, Settings
from azureml_local.store import Store


class Workspace:
    """Everything behind the REST interface."""

    def __init__(self, home: Home, settings: Settings = DEFAULTS) -> None:
        self.home = home
        self.settings = settings
        self.page_address = ""  # where browsers find the pages of jobs, once there is a server
        self.identity = Identity(read_secret(home.secret))
        self.store = Store(home.database)
        self.blobs = Blobs(home.blobs, self.store)
        self.assets = Assets(self.store, self.blobs)
        self.jobs = Jobs(home, self.store, self.assets, self.blobs, settings)
        self.endpoints = Endpoints(self.store, self.assets, Deployments(home.path))

    def close(self) -> None:
        """End what runs and close what is open."""
        self.endpoints.close()
        self.jobs.close()
        self.store.close()
