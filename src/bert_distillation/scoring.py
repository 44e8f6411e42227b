"""A request becomes texts, and predictions become a reply: the endpoint without its server.

Accepted: {"input_data": ["..."]}, the older {"inputs": {"input_string": ["..."]}}, either with a table's column
{"input_string": [...]} or one bare text. The reply is a flat list, one word a text; of a text with several masks the
words joined by blanks, in the order of the masks.
"""

import json
from typing import Any

from bert_distillation.errors import InputError
from bert_distillation.fill_mask import FillMask

MAX_TEXTS = 256
MAX_CHARACTERS = 100_000  # of all texts together: the tokenizer reads a text to its end before it is cut
EXAMPLE = '{"input_data": ["Paris is the [MASK] of France."]}'


class TooLargeError(InputError):
    """A request with more than the endpoint takes; refused before any text is read."""


def parse_request(body: str) -> list[str]:
    """The texts of a request body; InputError says what is wrong with it and with which text."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError(f"The request is not JSON; send for example {EXAMPLE}.") from None
    key = next((key for key in ("input_data", "inputs") if isinstance(request, dict) and key in request), None)
    if key is None:
        raise InputError(f"The request has no input_data; send for example {EXAMPLE}.")
    texts = request[key]
    if isinstance(texts, dict):
        if "input_string" not in texts:
            raise InputError(f"{key} is an object without input_string; send for example {EXAMPLE}.")
        texts = texts["input_string"]
    return check_texts([texts] if isinstance(texts, str) else texts, key)


def check_texts(texts: Any, key: str) -> list[str]:
    """The texts, if they are a list of strings within the limits."""
    if not isinstance(texts, list):
        raise InputError(f"{key} must be a list of texts; send for example {EXAMPLE}.")
    if len(texts) > MAX_TEXTS:
        raise TooLargeError(f"{len(texts)} texts in one request; send at most {MAX_TEXTS}.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"Text {index} is {json.dumps(text)[:80]}, not a string.")
    if (characters := sum(map(len, texts))) > MAX_CHARACTERS:
        raise TooLargeError(f"{characters} characters in one request; send at most {MAX_CHARACTERS}.")
    return texts


def reply(predictor: FillMask, body: str) -> list[str]:
    """The answer to a request body: one word a text."""
    texts = parse_request(body)
    return [" ".join(mask[0].token for mask in masks) for masks in predictor.predict_masks(texts)]
