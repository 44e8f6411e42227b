"""The workspace's memory."""

import threading
from pathlib import Path

import pytest

from azureml_local.store import Store


def test_a_resource_comes_back_as_it_was_put(store: Store):
    store.put("models", "student", "1", {"properties": {"tags": {"ä": [1, 2.5, None]}}})
    assert store.get("models", "student", "1").body == {"properties": {"tags": {"ä": [1, 2.5, None]}}}
    assert store.get("models", "student", "2") is None
    assert store.get("data", "student", "1") is None


def test_putting_again_replaces_the_body_and_keeps_the_time_of_creation(store: Store):
    first = store.put("models", "student", "1", {"a": 1})
    second = store.put("models", "student", "1", {"b": 2})
    assert second.body == {"b": 2}
    assert second.created == first.created
    assert second.modified >= first.modified


def test_versions_are_listed_in_the_order_of_their_creation(store: Store):
    for version in ("2", "10", "1"):
        store.put("models", "student", version, {})
    store.put("models", "student", "10", {"changed": True})
    store.put("models", "teacher", "1", {})
    assert [found.version for found in store.all("models", "student")] == ["2", "10", "1"]
    assert [found.name for found in store.all("models")] == ["student", "student", "student", "teacher"]


def test_everything_survives_a_restart(tmp_path: Path):
    store = Store(tmp_path / "workspace.db")
    store.put("jobs", "one", "", {"status": "Completed"})
    store.close()
    again = Store(tmp_path / "workspace.db")
    assert again.get("jobs", "one").body == {"status": "Completed"}
    again.close()


def test_of_many_who_add_the_same_name_one_succeeds(store: Store):
    added = []
    threads = [threading.Thread(target=lambda: added.append(store.add("jobs", "one", "", {}))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == [False] * 19 + [True]


def test_updates_from_many_threads_lose_nothing(store: Store):
    store.put("jobs", "one", "", {"count": 0})

    def count_up() -> None:
        for _ in range(20):
            store.update("jobs", "one", "", lambda body: {"count": body["count"] + 1})

    threads = [threading.Thread(target=count_up) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("jobs", "one").body == {"count": 100}


def test_deleting_says_whether_there_was_something(store: Store):
    store.put("models", "student", "1", {})
    assert store.delete("models", "student", "1")
    assert not store.delete("models", "student", "1")
    with pytest.raises(KeyError):
        store.update("models", "student", "1", lambda body: body)


def test_what_is_written_together_is_seen_together_or_not_at_all(store: Store, tmp_path: Path):
    seen, inside, written = [], threading.Event(), threading.Event()

    def look() -> None:
        inside.wait(20)
        seen.append([one.kind for kind in ("jobs", "runs") for one in store.all(kind)])
        written.wait(20)

    other = threading.Thread(target=look)
    other.start()
    with store.together():
        store.put("jobs", "one", "", {})
        inside.set()
        store.put("runs", "one", "", {})
    written.set()
    other.join()
    assert seen == [["jobs", "runs"]]
    with pytest.raises(KeyError), store.together():
        store.update("jobs", store.put("jobs", "two", "", {}).name, "1", dict)
    again = Store(tmp_path / "workspace.db")
    assert [one.name for one in again.all("jobs")] == ["one"]
    again.close()
