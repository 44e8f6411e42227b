"""What old SDKs themselves cannot do: by version and operation, a part of the SDK's own error."""

LIMITS: dict[str, dict[str, str]] = {}
