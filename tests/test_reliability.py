"""docs/reliability.md: each row of its table names tests that exist."""

import ast
import re

from fuzz_readers import names_of_readers

from conftest import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_each_fault_of_the_table_has_tests_that_exist():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "tests/" in line]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/\w+\.py)::(\w+)`", row.split("|")[3])
        assert named, row
        for file, function in named:
            tree = ast.parse((ROOT / file).read_text())
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, row


def test_the_number_of_readers_is_as_the_page_says():
    assert f"{len(names_of_readers())} readers" in PAGE
