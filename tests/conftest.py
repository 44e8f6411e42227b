"""What every test needs: the hub switched off, properties deterministic, small models from configs."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
# Tests run beside each other: threads that spin while they wait would take the cores from their neighbours.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import requests  # noqa: F401  first used in a thread, its warning about SOCKS would be an error
from hypothesis import settings

from azureml_local.engine.changes import JobChange
from azureml_local.engine.engine import Engine
from azureml_local.environments.job_environments import JobEnvironments
from azureml_local.processes import Groups
from azureml_local.settings import Settings
from azureml_local.spec import Pipeline
from azureml_local.store import Store
from small_environments import fake_python
from small_pipelines import Heard

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real text beside the checkout; a test that needs it is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs real text under {folder}")
    return folder


@pytest.fixture(autouse=True)
def _no_run_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never logs to an MLflow run that happens to be set outside."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_precision_of_another_test() -> Iterator[None]:
    """accelerate keeps to the precision that a process asked for first, and `auto` differs between machines."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """For what is nested too deeply: where the stack ends, the finalizer of another test's garbage would fail too."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    """A WordPiece tokenizer of a few dozen pieces."""
    from small_models import small_tokenizer

    return small_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """What a workspace knows, and nothing yet."""
    store = Store(tmp_path / "workspace.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def heard() -> Heard:
    """What the engine of a module has told."""
    return Heard()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the engine of a module."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def engine(home: Path, heard: Heard) -> Iterator[Engine]:
    """An engine that runs four nodes together."""
    engine = Engine(home, heard, f"sqlite:///{home}/mlflow.db", Settings(max_parallel=4))
    engine._preparing.join()  # MLflow's plugins read variables that a test may set
    yield engine
    engine.close()


@pytest.fixture
def run(engine: Engine, heard: Heard) -> Callable[[Pipeline], JobChange]:
    """Runs a pipeline to its end."""

    def run(pipeline: Pipeline) -> JobChange:
        engine.submit(pipeline)
        return heard.wait(pipeline.name)

    return run


@pytest.fixture
def groups() -> Iterator[Groups]:
    """The process groups of one test."""
    groups = Groups()
    yield groups
    groups.close()


@pytest.fixture
def environments(groups: Groups, tmp_path: Path) -> Iterator[JobEnvironments]:
    """Built environments under the test's own folder."""
    made = JobEnvironments(tmp_path / "environments", groups, build=True)
    yield made
    made.close()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Lets a script stand for Python; see `fake_python`."""
    return partial(fake_python, tmp_path, monkeypatch)
