"""The rules that the SDK leaves to the service, each with file, line and the way out."""

from azureml_local.checks import (
    addresses,
    bindings,
    commands,
    declarations,
    defaults,
    fields,
    machines,
    other_nodes,
    refusals,
    shapes,
    values,
    words,
    written,
)
from azureml_local.checks.files import Located, azure_files, check_file, has_azure_schema, problems
from azureml_local.checks.table import ERROR, RULES, WARNING, Problem

# Each puts its own rules into the table when it is imported; they are asked in this order.
RULE_MODULES = (
    *(written, declarations, shapes, fields, words, defaults),
    *(addresses, bindings, values, commands, machines, refusals, other_nodes),
)

__all__ = [
    "ERROR",
    "RULES",
    "RULE_MODULES",
    "WARNING",
    "Located",
    "Problem",
    "azure_files",
    "check_file",
    "has_azure_schema",
    "problems",
]
