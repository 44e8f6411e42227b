"""Whom the requests of an endpoint go to: shares of them to deployments that answer, copies to one that is tried out.

The rules are Azure's: shares add up to 100; copies of at most half of the requests go to one deployment, which answers
nobody meanwhile.
"""

import random
from collections.abc import Collection, Mapping

from azureml_local.spec import SpecError

MOST_COPIES = 50  # per cent of the requests

Shares = Mapping[str, int]  # per cent by deployment


def check_traffic(endpoint: str, deployments: Collection[str], traffic: Shares, copies: Shares) -> None:
    """Raise SpecError for shares that Azure would not take."""
    for field, shares in (("traffic", traffic), ("mirror_traffic", copies)):
        if unknown := sorted(set(shares) - set(deployments)):
            names = ", ".join(sorted(deployments)) or "none"
            raise SpecError(f'{field}: the endpoint "{endpoint}" has no deployment "{unknown[0]}"; it has {names}')
    if sum(traffic.values()) not in (0, 100):
        raise SpecError(f"traffic: the shares must add up to 0 or 100, and add up to {sum(traffic.values())}")
    receivers = {name: share for name, share in copies.items() if share}
    if len(receivers) > 1:
        raise SpecError(f"mirror_traffic: copies go to one deployment, not to {' and '.join(sorted(receivers))}")
    for name, share in receivers.items():
        if share > MOST_COPIES:
            raise SpecError(f"mirror_traffic: at most {MOST_COPIES} % of the requests are copied, not {share}")
        if traffic.get(name):
            raise SpecError(f'mirror_traffic: "{name}" has {traffic[name]} % of the traffic; copies need one with 0 %')


def draw(traffic: Shares) -> str | None:
    """The deployment that answers a request, or None where none has traffic."""
    shares = {name: share for name, share in traffic.items() if share}
    return random.choices(list(shares), list(shares.values()))[0] if shares else None


def draw_copy(copies: Shares) -> str | None:
    """The deployment that gets a copy of a request, or None if it is not one of those that are copied."""
    return next((name for name, share in copies.items() if 100 * random.random() < share), None)


def without(shares: Shares, deployment: str) -> dict[str, int]:
    """The shares once a deployment is gone."""
    return {name: share for name, share in shares.items() if name != deployment}
