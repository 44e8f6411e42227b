"""Greedy batching: what was asked while the model was busy is its next batch. Nothing waits for company."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass
class _Question(Generic[Key, Item, Answer]):
    key: Key
    items: Sequence[Item]
    done: threading.Event = field(default_factory=threading.Event)
    answers: Sequence[Answer] = ()
    error: BaseException | None = None


class Batcher(Generic[Key, Item, Answer]):
    """Answers the questions of many threads in one thread of its own, several of a kind at a time."""

    def __init__(
        self,
        work: Callable[[Key, list[Item]], Sequence[Answer]],
        limit: int,
        weight: Callable[[Key, Sequence[Item]], int] = lambda _, items: len(items),
        timeout: float | None = None,
    ):
        """`work` answers items with the same key, in order.

        limit: of the weights of the questions in a batch; one alone may have more. timeout: seconds after which who
        asked waits no longer.
        """
        self.work, self.limit, self.weight, self.timeout = work, limit, weight, timeout
        self.waiting: list[_Question[Key, Item, Answer]] = []
        self.changed = threading.Condition()
        threading.Thread(target=self._serve, name="batches", daemon=True).start()

    def ask(self, key: Key, items: Sequence[Item]) -> Sequence[Answer]:
        """The answers to some items; questions with the same key may share a batch.

        Raises what `work` raised, and TimeoutError; a question that has not been begun by then is given up.
        """
        question: _Question[Key, Item, Answer] = _Question(key, items)
        with self.changed:
            self.waiting.append(question)
            self.changed.notify()
        if not question.done.wait(self.timeout):
            with self.changed:
                self.waiting = [other for other in self.waiting if other is not question]
            raise TimeoutError
        if question.error is not None:
            try:
                raise question.error
            finally:
                del question  # it holds the error, and the error this frame: a circle that would stay for long
        return question.answers

    def _serve(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting)
                batch = self._next_batch()
            self._answer(batch)
            for question in batch:
                question.done.set()
            del question, batch  # an error holds what its batch was computed from, on a GPU its memory

    def _answer(self, batch: list[_Question[Key, Item, Answer]]) -> None:
        """Answer all together or, where that fails, each alone: one's mistake is nobody else's."""
        try:
            answers = self.work(batch[0].key, [item for question in batch for item in question.items])
            start = 0
            for question in batch:
                question.answers = answers[start : start + len(question.items)]
                start += len(question.items)
        except BaseException as error:
            if len(batch) > 1:
                for question in batch:
                    self._answer([question])
                return
            batch[0].error = error
            del batch  # as in `ask`

    def _next_batch(self) -> list[_Question[Key, Item, Answer]]:
        """The first question and those of its kind behind it, up to the limit; taken out of the queue."""
        first, others = self.waiting[0], []
        batch, size = [first], self.weight(first.key, first.items)
        for question in self.waiting[1:]:
            own = self.weight(question.key, question.items)
            if question.key == first.key and size + own <= self.limit:
                batch.append(question)
                size += own
            else:
                others.append(question)
        self.waiting = others
        return batch
