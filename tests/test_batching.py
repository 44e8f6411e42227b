"""Questions of many threads, answered in batches."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

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


def test_who_waited_too_long_is_told_and_what_was_not_begun_is_given_up():
    model = Model()
    batcher = Batcher(model, limit=3, timeout=10)
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(batcher.ask, "a", [1])
        while not model.batches:
            threading.Event().wait(0.001)
        batcher.timeout = 0.05
        with pytest.raises(TimeoutError):
            batcher.ask("b", [1])
        assert batcher.waiting == []
        model.go.set()
        assert begun.result(timeout=10) == [2]
    batcher.timeout = 10
    assert batcher.ask("c", [2]) == [4]
    assert [key for key, _ in model.batches] == ["a", "c"]


def test_one_question_that_fails_is_nobody_elses_failure():
    model = Model()
    batcher = Batcher(model, limit=10)
    with ThreadPoolExecutor(4) as pool:
        asked = []
        for number, items in enumerate(([1], [2], [13], [3])):
            asked.append(pool.submit(batcher.ask, "a", items))
            while len(batcher.waiting) < number or not model.batches:
                threading.Event().wait(0.001)
        model.go.set()
        assert [asked[place].result(timeout=10) for place in (0, 1, 3)] == [[2], [4], [6]]
        with pytest.raises(ValueError, match="13"):
            asked[2].result(timeout=10)
    assert model.batches == [("a", items) for items in ([1], [2, 13, 3], [2], [13], [3])]


def test_a_batch_is_within_the_limit_of_what_its_questions_weigh():
    model = Model()
    batcher = Batcher(model, limit=10, weight=lambda _, items: sum(items))
    answers = ask_all(batcher, model, [("a", [1]), ("a", [11]), ("a", [4, 4]), ("a", [3]), ("a", [2])])
    assert answers == [[2], [22], [8, 8], [6], [4]]
    assert model.batches == [("a", items) for items in ([1], [11], [4, 4, 2], [3])]


def test_what_a_failed_batch_was_computed_from_is_let_go_before_the_next():
    class Large:
        pass

    alive: list[bool] = []
    seen: list[weakref.ref[Large]] = []

    def work(_: str, items: list[int]) -> list[int]:
        alive.extend(reference() is not None for reference in seen)
        large = Large()
        seen.append(weakref.ref(large))
        if items == [13]:
            raise ValueError("13")
        return items

    batcher = Batcher(work, limit=3)
    for item in (13, 1):
        with suppress(ValueError):
            batcher.ask("a", [item])
    assert alive == [False]


def test_an_error_reaches_those_who_asked_and_nobody_else():
    model = Model()
    model.go.set()
    batcher = Batcher(model, limit=3)
    with pytest.raises(ValueError, match="13"):
        batcher.ask("a", [13])
    assert batcher.ask("a", [1]) == [2]
