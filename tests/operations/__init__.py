"""What a user does with `MLClient`, operation by operation, each with a check of its effect.

`python -m operations` runs them all against the workspace that the environment variables name. It asks for nothing
but azure-ai-ml and azure-identity, so that it runs with an old SDK in a virtual environment of its own as well.
"""
