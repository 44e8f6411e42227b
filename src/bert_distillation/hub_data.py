"""What goes wrong with a data set of the hub: not found, not reached, or not to be read."""

import pyarrow as pa
from datasets.exceptions import DatasetGenerationError, DatasetsError

CANNOT_LOAD = (OSError, ValueError, RuntimeError, pa.ArrowException, DatasetsError)


def reason_of(error: BaseException) -> str:
    """The first line of what an error of `CANNOT_LOAD` says; of one while the data set was made, that of its cause."""
    if isinstance(error, DatasetGenerationError) and error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
