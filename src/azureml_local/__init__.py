"""A local workspace for Azure ML: the unmodified `MLClient` talks to it. Knows nothing of BERT."""

__version__ = "0.1.0"
