"""What libraries say of a hub that is away."""

import logging

import huggingface_hub  # noqa: F401  its import gives its logger the handler
import pytest

from bert_distillation.said_once import SaidOnce, say_retries_once

AWAY = "'[Errno -2] Name or service not known' thrown while requesting HEAD https://hub.invalid/{file}"


@pytest.fixture
def said() -> list[str]:
    """What a logger of the library lets through."""
    said, logger = [], logging.Logger("library")
    handler = logging.StreamHandler()
    handler.emit = lambda record: said.append(record.getMessage())
    handler.addFilter(SaidOnce())
    logger.addHandler(handler)
    for file in ("config.json", "vocab.txt"):
        for retry in range(1, 4):
            logger.warning(AWAY.format(file=file))
            logger.warning("Retrying in %ss [Retry %s/3].", 2**retry, retry)
    logger.warning("[Errno 13] Permission denied")
    return said


def test_each_thing_is_said_once_whatever_its_address_and_numbers(said: list[str]):
    assert said == [AWAY.format(file="config.json"), "Retrying in 2s [Retry 1/3].", "[Errno 13] Permission denied"]


def test_the_library_has_the_filter_once_however_often_it_is_asked_for():
    say_retries_once()
    say_retries_once()
    (handler,) = logging.getLogger("huggingface_hub").handlers
    assert [type(one) for one in handler.filters] == [SaidOnce]
