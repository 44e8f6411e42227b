"""A request becomes a question, and predictions become a reply: the endpoint without its server.

Accepted: {"input_data": ["..."]}, one bare text in place of the list, the older {"inputs": {"input_string": ["..."]}},
a table's column {"input_string": [...]} or a frame {"columns": ["input_string"], "index": [...], "data": [["..."]]}
under either key; and beside them {"params": {...}}:
  top_k          words for a mask, 1 if not given
  targets        the only words that are candidates
  return_scores  probabilities with the words
  order          how several masks of one text are filled: `together` (independently) or `left_to_right`

The reply is a list with one entry a text: the word; of several masks their words joined by blanks, which no word has.
With top_k above 1 or return_scores the entry is a list of candidates; of several masks, a list of such lists. With
return_scores a candidate is {"word": ..., "score": ...}.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bert_distillation.errors import InputError, NotFiniteError
from bert_distillation.fill_mask import LEFT_TO_RIGHT, ORDERS, TOGETHER, Candidate, FillMask

MAX_TEXTS = 256
MAX_CHARACTERS = 100_000  # of all texts together: the tokenizer reads a text to its end before it is cut
LONGEST_BODY = 13 * MAX_CHARACTERS  # of which JSON spells one with up to 12 of its own
MAX_MASKS = 32  # of a text; left to right each takes a pass of its own
MAX_TOKENS = 30_000  # of all passes: more than 100,000 characters of common words, seconds for two cores
MAX_TOP_K, MAX_TARGETS = 100, 1000
EXAMPLE = '{"input_data": ["Paris is the [MASK] of France."]}'
COLUMN = "input_string"
Fill = Callable[[list[list[int]], int, tuple[int, ...], str], Sequence[list[list[Candidate]]]]
PARAMS = ("top_k", "targets", "return_scores", "order")


class TooLargeError(InputError):
    """A request with more than the endpoint takes; refused before the model reads any of it."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a request asks."""

    texts: list[str]
    top_k: int = 1
    targets: tuple[str, ...] = ()
    return_scores: bool = False
    order: str = TOGETHER

    @property
    def is_plain(self) -> bool:
        """Whether the reply is a flat list of words."""
        return self.top_k == 1 and not self.return_scores


def parse_request(body: str) -> Question:
    """The question in a request body; InputError says what is wrong with it and with which text."""
    if len(body) > LONGEST_BODY:
        raise TooLargeError(
            f"{len(body)} characters of JSON in one request; send texts of at most {MAX_CHARACTERS} together."
        )
    if not body.strip():
        raise InputError(f"The request is empty; send JSON with Content-Type: application/json, for example {EXAMPLE}.")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError(f"The request is not JSON; send for example {EXAMPLE}.") from None
    key = next((key for key in ("input_data", "inputs") if isinstance(request, dict) and key in request), None)
    if key is None:
        raise InputError(f"The request has no input_data; send for example {EXAMPLE}.")
    texts = column(request[key], key)
    return Question(texts=check_texts([texts] if isinstance(texts, str) else texts, key), **parse_params(request))


def column(data: Any, key: str) -> Any:
    """The texts of a table; what is no table is returned as it is."""
    if not isinstance(data, dict):
        return data
    if {"columns", "data"} <= set(data):
        names, rows = data["columns"], data["data"]
        if not isinstance(names, list) or (COLUMN not in names and len(names) != 1):
            raise InputError(f"{key} is a frame without a column {COLUMN}; send for example {EXAMPLE}.")
        place = names.index(COLUMN) if COLUMN in names else 0
        if not isinstance(rows, list):
            raise InputError(f"The data of {key} must be a list of rows; send for example {EXAMPLE}.")
        return [row[place] if isinstance(row, list) and len(row) == len(names) else row for row in rows]
    if COLUMN not in data:
        raise InputError(f"{key} is an object without {COLUMN}; send for example {EXAMPLE}.")
    return data[COLUMN]


def check_texts(texts: Any, key: str) -> list[str]:
    """The texts, if they are a list of strings within the limits."""
    if not isinstance(texts, list):
        raise InputError(f"{key} must be a list of texts; send for example {EXAMPLE}.")
    if len(texts) > MAX_TEXTS:
        raise TooLargeError(f"{len(texts)} texts in one request; send at most {MAX_TEXTS}.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"Text {index} is {json.dumps(text, default=repr)[:80]}, not a string.")
    if (characters := sum(map(len, texts))) > MAX_CHARACTERS:
        raise TooLargeError(f"{characters} characters in one request; send at most {MAX_CHARACTERS}.")
    return texts


def parse_params(request: dict[str, Any]) -> dict[str, Any]:
    """The settings of a request, each checked by name and value."""
    params = request.get("params")
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise InputError(
            f"params must be an object of {', '.join(PARAMS)}, got {json.dumps(params, default=repr)[:80]}."
        )
    for name, value in params.items():
        if name not in PARAMS:
            raise InputError(f"params has no {name[:40]!r}; there are {', '.join(PARAMS)}.")
        if not VALID[name](value):
            raise InputError(f"{name} must be {MEANING[name]}, got {json.dumps(value, default=repr)[:80]}.")
    return params | ({"targets": tuple(params["targets"])} if "targets" in params else {})


def _is_targets(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MAX_TARGETS and all(isinstance(word, str) for word in value)


VALID = {
    "top_k": lambda value: type(value) is int and 1 <= value <= MAX_TOP_K,
    "targets": _is_targets,
    "return_scores": lambda value: isinstance(value, bool),
    "order": lambda value: value in ORDERS if isinstance(value, str) else False,
}
MEANING = {
    "top_k": f"a whole number from 1 to {MAX_TOP_K}",
    "targets": f"a list of 1 to {MAX_TARGETS} words",
    "return_scores": "true or false",
    "order": " or ".join(ORDERS),
}


def reply(predictor: FillMask, question: Question, fill: Fill | None = None) -> tuple[list[Any], int]:
    """The answer to a question, and how many tokens were read for it; `fill` stands in for the predictor's own."""
    rows = predictor.encode(question.texts, MAX_MASKS)
    check_tokens(rows, question.order, predictor.word_pieces.mask_token_id)
    targets = tuple(predictor.word_pieces.ids_of(question.targets))
    answers = (fill or predictor.fill)(rows, question.top_k, targets, question.order)
    return [entry(masks, question) for masks in answers], sum(map(len, rows))


def tokens_read(rows: Sequence[list[int]], order: str, mask_token_id: int) -> int:
    """How many tokens the model reads for some texts, each time that it reads them."""
    return sum(len(row) * (row.count(mask_token_id) if order == LEFT_TO_RIGHT else 1) for row in rows)


def check_tokens(rows: list[list[int]], order: str, mask_token_id: int) -> None:
    """Refuse texts that the model would be busy with for too long."""
    tokens = tokens_read(rows, order, mask_token_id)
    if tokens > MAX_TOKENS:
        each = ", once for each mask" if order == LEFT_TO_RIGHT else ""
        raise TooLargeError(f"The model would read {tokens} tokens for this request{each}; send at most {MAX_TOKENS}.")


def entry(masks: list[list[Candidate]], question: Question) -> Any:
    """What the reply says of one text."""
    if question.is_plain:
        return " ".join(candidates[0].token for candidates in masks)
    filled = [[_candidate(one, question.return_scores) for one in candidates] for candidates in masks]
    return filled[0] if len(filled) == 1 else filled


def _candidate(candidate: Candidate, with_score: bool) -> Any:
    return {"word": candidate.token, "score": candidate.score} if with_score else candidate.token


def refusal(error: InputError) -> tuple[int, dict[str, Any]]:
    """The status that a mistake is answered with, and a body that the SDK's `invoke` can read."""
    status, code = 400, "InvalidRequest"
    if isinstance(error, TooLargeError):
        status, code = 413, "TooLarge"
    elif isinstance(error, NotFiniteError):
        status, code = 500, "NotFinite"
    return status, {"error": {"code": code, "message": str(error)}}


def busy(seconds: float) -> tuple[int, dict[str, Any]]:
    """The status and the body for a request that was not answered in time."""
    message = f"Not answered within {seconds:g} seconds; ask again later, or with fewer texts at a time."
    return 503, {"error": {"code": "Busy", "message": message}}
