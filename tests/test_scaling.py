"""The page on scaling has the numbers that its script prints."""

import importlib.util

import pytest
from transformers import BertForMaskedLM, DistilBertForMaskedLM

from bert_distillation.flops import distillation_flops
from conftest import ROOT


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "benchmarks" / "scaling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_of_the_page_is_what_the_script_works_out(scaling):
    page = (ROOT / "docs" / "scaling.md").read_text()
    flops = distillation_flops(scaling.TEACHER, scaling.STUDENT, 512)
    teacher = scaling.parameters(BertForMaskedLM, scaling.TEACHER)
    student = scaling.parameters(DistilBertForMaskedLM, scaling.STUDENT)
    memory = scaling.fixed_memory(teacher, student)
    tables = [scaling.wall_times(flops, [3 * 5.6e9, 3 * 6.1e9]), memory, scaling.all_reduces(student)]
    per_token = scaling.bytes_per_token(512)
    tables += [scaling.nodes(flops, student, 512), scaling.largest_batches(float(memory[-1][1]), per_token, 512)]
    parts = (flops.teacher_body, flops.student_body, flops.vocabulary_layers)
    assert "{:.0f} for the teacher's body, {:.0f} for forward and\nbackward".format(*(f / 1e6 for f in parts)) in page
    assert f"{parts[2] / 1e6:.0f} for the two vocabulary layers" in page
    assert f"To this come {per_token / 1e3:.0f} kB for each token" in page
    for rows in tables:
        assert scaling.table(rows) in page, rows[0]


def test_a_ring_of_two_sends_the_gradients_once(scaling):
    assert scaling.all_reduce_seconds(2, 4.0, 1_000_000_000) == 1.0
