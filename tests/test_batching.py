"""Questions of many threads, answered in batches."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bert_distillation.batching import Batcher


class Model:
    """Doubles numbers; its first batch waits until it is let go."""

    def __init__(self):
        self.batches: list[tuple[str, list[int]]] = []
        self.go = threading.Event()

    def __call__(self, key: str, items: list[int]) -> list[int]:
        self.batches.append((key, items))
        self.go.wait(timeout=10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


def ask_all(batcher: Batcher, model: Model, questions: list[tuple[str, list[int]]]) -> list[list[int]]:
    """The answers to questions that wait while the first is being answered."""
    with ThreadPoolExecutor(len(questions)) as pool:
        asked = []
        for number, question in enumerate(questions):
            asked.append(pool.submit(batcher.ask, *question))
            while len(batcher.waiting) < number or not model.batches:
                threading.Event().wait(0.001)
        model.go.set()
        return [list(future.result(timeout=10)) for future in asked]


def test_what_waits_while_the_model_is_busy_is_the_next_batch():
    model = Model()
    answers = ask_all(Batcher(model, limit=10), model, [("a", [1]), ("a", [2, 3]), ("a", [4]), ("a", [])])
    assert answers == [[2], [4, 6], [8], []]
    assert model.batches == [("a", [1]), ("a", [2, 3, 4])]


def test_a_batch_is_of_one_kind_and_within_the_limit():
    model = Model()
    questions = [("a", [1]), ("a", [2, 3]), ("b", [4]), ("a", [5, 6]), ("a", [7, 8, 9, 10]), ("b", [11])]
    assert ask_all(Batcher(model, limit=3), model, questions) == [
        [2 * item for item in items] for _, items in questions
    ]
    assert model.batches[1:] == [("a", [2, 3]), ("b", [4, 11]), ("a", [5, 6]), ("a", [7, 8, 9, 10])]


def test_an_error_reaches_those_who_asked_and_nobody_else():
    model = Model()
    model.go.set()
    batcher = Batcher(model, limit=3)
    with pytest.raises(ValueError, match="13"):
        batcher.ask("a", [13])
    assert batcher.ask("a", [1]) == [2]
