"""A share of benchmarks/fuzz_readers.py: whatever is in a file, its reader reads it or says why not."""

import random

import pytest
from fuzz_readers import fuzz, names_of_readers, spoil

CASES = 60


@pytest.mark.usefixtures("no_garbage_collection")
def test_no_reader_stumbles_over_a_spoilt_file():
    names = names_of_readers()
    assert len(names) > 20
    found = [failure for name in names for failure in fuzz(name, CASES, seed=1)[1]]
    assert found == []


@pytest.mark.parametrize("structured", [False, True])
def test_most_cases_differ_from_the_good_file_and_from_each_other(structured: bool):
    good = b'{"a": [1, 2, {"b": "text"}], "c": "more text"}'
    cases = [spoil(good, random.Random(number), structured) for number in range(200)]
    assert good not in cases or cases.count(good) < 10
    assert len(set(cases)) > 80
