"""What old SDKs themselves cannot do: by version and operation, a part of the SDK's own error."""

NO_UPDATE = "'JobOperations' object has no attribute 'update'"
NO_DELETE = "'JobOperations' object has no attribute 'begin_delete'"

LIMITS: dict[str, dict[str, str]] = {
    "1.27.1": {"jobs.update": NO_UPDATE, "jobs.begin_delete is refused": NO_DELETE},
    "1.16.1": {"jobs.update": NO_UPDATE, "jobs.begin_delete is refused": NO_DELETE},
}
