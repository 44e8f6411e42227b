"""The REST interface of the workspace, plane by plane: ARM, data plane, run history, storage and scoring."""
