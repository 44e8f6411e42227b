"""The unmodified `MLClient`, pointed at the workspace by environment variables and nothing else."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from azureml_local.connection import Addresses, client_environment
from azureml_local.errors import InputError
from azureml_local.home import Home
from azureml_local.sdk_messages import sentence
from azureml_local.spec import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

# What would make `DefaultAzureCredential` ask somebody else, or a proxy stand in between.
_FOREIGN = ("AZURE_", "MSI_")


def connect(home: Home, addresses: Addresses) -> "MLClient":
    """A client of the workspace. Changes this process's environment, and imports the SDK only then.

    Raises InputError where the workspace does not answer.
    """
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[name]
    os.environ.update(client_environment(home, addresses))
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # experimental classes announce themselves
            from azure.ai.ml import MLClient
            from azure.identity import DefaultAzureCredential

        return MLClient(
            DefaultAzureCredential(),
            SUBSCRIPTION,
            RESOURCE_GROUP,
            WORKSPACE,
            show_progress=True,  # `sdk_call` swallows it; without it the SDK waits for ever for an upload that failed
            enable_telemetry=False,
        )
    except Exception as error:
        if type(error).__name__ != "MlException":  # raised while the SDK is imported, so its class is not to be had
            raise
        raise InputError(
            f"The workspace at {home.path} does not answer the SDK at {addresses.url}: it has just ended, or a proxy "
            f"stands in between. `{home.command('status')}` tells whether it is up, and its log is {home.log}."
        ) from error


@contextlib.contextmanager
def sdk_call(doing: str) -> Iterator[None]:
    """Keep what the SDK prints off the terminal, and say in one sentence what it could not do.

    doing: what is tried, as in "submit pipeline.yml"; begins the sentence.
    """
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import AzureError
    from marshmallow import ValidationError

    noise = io.StringIO()
    try:
        with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            yield
    except InputError:
        raise
    except (MlException, AzureError, ValidationError, OSError) as error:
        raise InputError(f"Could not {doing}: {sentence(error)}") from error
    except Exception as error:  # of the SDK, which meets files that it does not expect with any exception
        said = " ".join(sentence(error).split())
        raise InputError(f"Could not {doing}: the SDK failed with {type(error).__name__}: {said}") from error
