"""What the workspace knows: versioned resources as JSON documents in one SQLite file, which survives a restart."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Body = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    body TEXT NOT NULL,
    created TEXT NOT NULL,
    modified TEXT NOT NULL,
    UNIQUE (kind, name, version)
)
"""
BY_PARENT = "CREATE INDEX IF NOT EXISTS by_parent ON resources (kind, json_extract(body, '$.parent'))"
COLUMNS = "kind, name, version, body, created, modified"


@dataclass(frozen=True)
class Resource:
    """One document: a version of an asset, a job, an endpoint. `version` is "" where a kind has none."""

    kind: str
    name: str
    version: str
    body: Body
    created: str  # ISO 8601, UTC
    modified: str


class Store:
    """Documents by kind, name and version, in the order of their creation. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(SCHEMA)
        self._connection.execute(BY_PARENT)

    def put(self, kind: str, name: str, version: str, body: Body) -> Resource:
        """Create a resource, or replace the body of the one that is there."""
        now = datetime.now(UTC).isoformat()
        with self._lock:
            self._connection.execute(
                "INSERT INTO resources (kind, name, version, body, created, modified) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (kind, name, version) DO UPDATE SET body = excluded.body, modified = excluded.modified",
                (kind, name, version, json.dumps(body), now, now),
            )
            return self._found(kind, name, version)

    def add(self, kind: str, name: str, version: str, body: Body) -> bool:
        """Create a resource unless it is there already; tells whether it was created."""
        with self._lock:
            if self.get(kind, name, version):
                return False
            self.put(kind, name, version, body)
            return True

    def update(self, kind: str, name: str, version: str, change: Callable[[Body], Body]) -> Resource:
        """Replace a body by what `change` makes of it, with nobody in between. Raises KeyError when it is not there."""
        with self._lock:
            return self.put(kind, name, version, change(self._found(kind, name, version).body))

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is seen, and survives a crash, as a whole or not at all."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def get(self, kind: str, name: str, version: str = "") -> Resource | None:
        """The resource, or None."""
        found = self._select("kind = ? AND name = ? AND version = ?", (kind, name, version))
        return found[0] if found else None

    def all(self, kind: str, name: str | None = None) -> list[Resource]:
        """All of a kind, or all versions of one name, oldest first."""
        if name is None:
            return self._select("kind = ?", (kind,))
        return self._select("kind = ? AND name = ?", (kind, name))

    def children(self, kind: str, parent: str) -> list[Resource]:
        """Those of a kind whose body names `parent` as their parent, oldest first."""
        return self._select("kind = ? AND json_extract(body, '$.parent') = ?", (kind, parent))

    def delete(self, kind: str, name: str, version: str = "") -> bool:
        """Forget a resource; tells whether there was one."""
        with self._lock:
            statement = "DELETE FROM resources WHERE kind = ? AND name = ? AND version = ?"
            return self._connection.execute(statement, (kind, name, version)).rowcount > 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _found(self, kind: str, name: str, version: str) -> Resource:
        resource = self.get(kind, name, version)
        if resource is None:
            raise KeyError(f"{kind}/{name}/{version}")
        return resource

    def _select(self, condition: str, values: tuple[str, ...]) -> list[Resource]:
        with self._lock:
            query = f"SELECT {COLUMNS} FROM resources WHERE {condition} ORDER BY number"
            rows = self._connection.execute(query, values).fetchall()
        return [Resource(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5]) for row in rows]
