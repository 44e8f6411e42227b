"""Requests that no endpoint should have to answer, and what it says to them: for tests and for the endurance run."""

import json
import socket
import time
from urllib.parse import urlsplit

from bert_distillation.scoring import MAX_CHARACTERS, MAX_MASKS, MAX_TEXTS

SENTENCE = '{"input_data": ["paris is the [MASK] of france ."]}'
# Bodies that are refused with 400, and a pattern of the sentence.
MISTAKES = [
    ("", "The request is empty; send JSON with Content-Type: application/json"),
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ('{"input_data": ' + "[" * 5_000 + "]" * 5_000 + "}", ""),
    ("9" * 10_000, "no input_data|not JSON"),
    ("null", "no input_data"),
    ("[]", "no input_data"),
    ('"input_data"', "no input_data"),
    ("{}", "no input_data"),
    ('{"data": ["a"]}', "no input_data"),
    ('{"Input_Data": ["a [MASK]"]}', "no input_data"),
    ('{"input_data": 3}', "must be a list of texts"),
    ('{"input_data": null}', "must be a list of texts"),
    ('{"input_data": true}', "must be a list of texts"),
    ('{"input_data": NaN}', "must be a list of texts"),
    ('{"input_data": {}}', "without input_string"),
    ('{"input_data": {"x": []}}', "without input_string"),
    ('{"input_data": {"input_string": 1}}', "must be a list of texts"),
    ('{"input_data": {"input_string": {"0": "a [MASK]"}}}', "must be a list of texts"),
    ('{"input_data": {"columns": ["a", "b"], "data": []}}', "frame without a column input_string"),
    ('{"input_data": {"columns": 3, "data": []}}', "frame without a column input_string"),
    ('{"input_data": {"columns": ["input_string"], "data": 3}}', "data of input_data must be a list of rows"),
    ('{"input_data": {"columns": ["input_string"], "data": [["a", "b"]]}}', "Text 0 is .* not a string"),
    ('{"input_data": {"columns": ["input_string"], "data": [[]]}}', "Text 0 is .*, not a string"),
    ('{"input_data": ["a [MASK]", 3]}', "Text 1 is 3, not a string"),
    ('{"input_data": [null]}', "Text 0 is null, not a string"),
    ('{"input_data": [NaN]}', "Text 0 is NaN, not a string"),
    ('{"input_data": [Infinity]}', "Text 0 is Infinity, not a string"),
    ('{"input_data": [1e400]}', "Text 0 is Infinity, not a string"),
    ('{"input_data": [true]}', "Text 0 is true, not a string"),
    ('{"input_data": [["a [MASK]"]]}', "Text 0 is .*, not a string"),
    ('{"input_data": [{"text": "a [MASK]"}]}', "Text 0 is .*, not a string"),
    ('{"input_data": [[[[[[]]]]]]}', "Text 0 is .*, not a string"),
    ('{"input_data": [""]}', r"Text 0 has no \[MASK\]: ''"),
    ('{"input_data": ["   "]}', r"Text 0 has no \[MASK\]"),
    ('{"input_data": ["no mask"]}', r"Text 0 has no \[MASK\]: 'no mask'"),
    ('{"input_data": ["a [mask]"]}', r"Text 0 has no \[MASK\]"),
    ('{"input_data": ["a <mask>"]}', r"Text 0 has no \[MASK\]"),
    ('{"input_data": ["a [MASK]", "\\u202e \\u05d0"]}', r"Text 1 has no \[MASK\]"),
    (json.dumps({"input_data": ["[MASK] " * (MAX_MASKS + 1)]}), f"Text 0 has {MAX_MASKS + 1} masks; send at most"),
    (json.dumps({"input_data": ["[MASK]" + " cat" * 600 + "[MASK]"]}), "Text 0 has masks 601 tokens apart"),
    ('{"input_data": ["a [MASK]"], "params": 3}', "params must be an object of top_k, targets"),
    ('{"input_data": ["a [MASK]"], "params": []}', "params must be an object"),
    ('{"input_data": ["a [MASK]"], "params": {"topk": 3}}', "params has no 'topk'; there are top_k, targets"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 0}}', "top_k must be a whole number from 1 to 100, got 0"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 101}}', "top_k must be a whole number from 1 to 100"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": -1}}', "top_k must be"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 2.5}}', "top_k must be a whole number.*got 2.5"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": "3"}}', "top_k must be a whole number"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": true}}', "top_k must be a whole number.*got true"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": null}}', "top_k must be a whole number"),
    ('{"input_data": ["a [MASK]"], "params": {"top_k": 1e9}}', "top_k must be a whole number"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": []}}', "targets must be a list of 1 to 1000 words"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": "rome"}}', "targets must be a list"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": [3]}}', "targets must be a list"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": ["xyzzyx"]}}', "target 'xyzzyx' is not one word"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": [""]}}', "target '' is not one word"),
    ('{"input_data": ["a [MASK]"], "params": {"targets": ["\\ud800"]}}', "target '.*' is not one word"),
    (
        '{"input_data": ["a [MASK]"], "params": {"targets": ["[MASK]"], "order": "left_to_right"}}',
        r"target '\[MASK\]' is not one word",
    ),
    ('{"input_data": ["a [MASK]"], "params": {"return_scores": 1}}', "return_scores must be true or false, got 1"),
    ('{"input_data": ["a [MASK]"], "params": {"return_scores": "yes"}}', "return_scores must be true or false"),
    ('{"input_data": ["a [MASK]"], "params": {"order": "right"}}', "order must be together or left_to_right"),
    ('{"input_data": ["a [MASK]"], "params": {"order": []}}', "order must be together or left_to_right"),
]

# Texts that are refused with 413, together in one request.
TOO_LARGE = [
    ["a [MASK]"] * (MAX_TEXTS + 1),
    ["a" * (MAX_CHARACTERS + 1)],
    ["a"] * 10_000,
    ["[MASK] " * 150_000],  # 1 MB
    ["[MASK] " * 3_000_000],  # 20 MB
]
# Texts that are as good as any.
ODD_TEXTS = [
    "\ud800 [MASK]",  # half of a surrogate pair
    "\x00 [MASK] \x07\x1b",
    "\u202e [MASK] \u05d0\u05d1",
    "\U0001f600 [MASK] \U0001f1eb\U0001f1f7",
    "[MASK][MASK]",
    "[CLS] paris is the [MASK] of france . [SEP]",
    "a\u0301" * 500 + "[MASK]",
    "[MASK]" + "\u200b" * 1000,
    "cat " * 2000 + "[MASK]" + " dog" * 2000,
    "[MASK]" + "x" * 5000,
]
# Headers that do not fit the body: it is read as what it is, but that of a form, which flask makes an empty one of.
CONTENT_TYPES = ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png"]


def bodies() -> list[tuple[bytes, str]]:
    """All of them as they are sent: body and content type."""
    requests = [*(body for body, _ in MISTAKES), *(json.dumps({"input_data": texts}) for texts in TOO_LARGE)]
    requests += [json.dumps({"input_data": [text]}) for text in ODD_TEXTS]
    sent = [(request.encode("utf-8", "surrogatepass"), "application/json") for request in requests]
    sent += [(SENTENCE.encode(), content_type) for content_type in CONTENT_TYPES]
    return [*sent, (b"\xff\xfe\x00", "application/json"), (b"\x1f\x8b" + bytes(1000), "application/json")]


def send_slowly(address: str, seconds: float) -> bytes:
    """A request whose body takes its time; the first line of the answer."""
    with _connect(address) as connection:
        body = SENTENCE.encode()
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        for place in range(len(body)):
            connection.sendall(body[place : place + 1])
            time.sleep(seconds / len(body))
        return connection.recv(1000).partition(b"\r\n")[0]


def drop_midway(address: str) -> None:
    """A connection that ends within the body."""
    with _connect(address) as connection:
        connection.sendall(b'POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"input_data": [')


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=60)
