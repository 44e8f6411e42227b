from collections import Counter

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_distillation.batches import BatchOrder, MaskedSequences, StepPlan
from bert_distillation.packing import Packing

LENGTHS = st.lists(st.integers(1, 16), min_size=1, max_size=60).map(lambda lengths: np.array(lengths, np.uint16))
PACKINGS = st.builds(Packing, LENGTHS, st.just(16), st.integers(0, 100))
PLANS = st.builds(
    StepPlan,
    packing=PACKINGS,
    per_device_batch_size=st.integers(1, 5),
    batches_per_step=st.integers(1, 4),
    num_processes=st.integers(1, 4),
)


def sequences_of(plan: StepPlan, step: int) -> list[int]:
    rows = [row for process in range(plan.num_processes) for batch in plan.batches(step, process) for row in batch]
    return sorted(index for _, indices in rows for index in indices)


@settings(max_examples=200)
@given(PLANS)
def test_each_epoch_covers_every_sequence_exactly_once(plan):
    for epoch in range(2):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        counts = Counter(index for step in steps for index in sequences_of(plan, step))
        assert counts == Counter(range(plan.packing.num_sequences))


@settings(max_examples=200)
@given(PLANS)
def test_every_process_has_as_many_batches_a_step_and_none_is_empty_or_too_large(plan):
    for step in range(plan.steps_per_epoch):
        for process in range(plan.num_processes):
            batches = plan.batches(step, process)
            assert len(batches) == plan.batches_per_step
            assert all(1 <= len(batch) <= plan.per_device_batch_size for batch in batches)


@given(PACKINGS)
def test_a_step_has_the_same_sequences_however_it_is_cut(packing):
    cuts = [(8, 1, 1), (4, 2, 1), (2, 2, 2), (1, 1, 8)]
    plans = [
        StepPlan(packing=packing, per_device_batch_size=b, batches_per_step=a, num_processes=p) for b, a, p in cuts
    ]
    for step in range(plans[0].steps_per_epoch):
        assert len({tuple(sequences_of(plan, step)) for plan in plans}) == 1


def test_a_resumed_order_goes_on_where_the_first_one_stopped():
    packing = Packing(np.full(23, 16, np.uint16), 16, seed=3)
    plan = StepPlan(packing=packing, per_device_batch_size=2, batches_per_step=2, num_processes=2)
    whole = list(BatchOrder(plan, process=1, first_step=0, last_step=12))
    assert whole[5 * 2 :] == list(BatchOrder(plan, process=1, first_step=5, last_step=12))
    assert len(whole) == len(BatchOrder(plan, process=1, first_step=0, last_step=12)) == 24


def test_epochs_differ_in_order():
    packing = Packing(np.full(40, 16, np.uint16), 16, seed=0)
    plan = StepPlan(packing=packing, per_device_batch_size=40, batches_per_step=1, num_processes=1)
    assert plan.batches(0, 0) != plan.batches(1, 0)


@pytest.fixture
def dataset(tokenizer):
    texts = [("the cat sleeps .", "it was old ."), ("paris is the capital of france .", "today is a sunny day !")]
    rows = []
    for first, second in texts:
        a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (first, second))
        rows.append({"input_ids": [2, *a, 3, *b, 3], "second_start": len(a) + 2})
    return MaskedSequences(datasets.Dataset.from_list(rows), tokenizer, mlm_probability=0.3, seed=7)


def by_sequence(batch: dict[str, torch.Tensor]) -> dict[int, dict[str, list[int]]]:
    """The tokens of each sequence of a batch of one row, in order, by the sequence's number in the row."""
    order = batch["places"].argsort()
    words = torch.full_like(batch["input_ids"], -1)
    words[: len(batch["labels"])] = batch["labels"]
    columns = {name: batch[name] for name in ("input_ids", "token_type_ids", "position_ids")} | {"words": words}
    numbers = batch["sequence_ids"].flatten()[batch["places"]][order]
    return {
        int(number): {name: column[order][numbers == number].tolist() for name, column in columns.items()}
        for number in numbers.unique()
    }


def test_masks_depend_on_epoch_and_sequence_and_on_nothing_else(dataset):
    alone, together = dataset.__getitems__([(0, (0,))]), dataset.__getitems__([(0, (1, 0))])
    assert by_sequence(alone)[1] == by_sequence(together)[2]
    masks = {tuple(by_sequence(dataset.__getitems__([(epoch, (1,))]))[1]["words"]) for epoch in range(5)}
    assert len(masks) > 1


def test_the_sequences_of_a_row_stand_side_by_side_with_positions_of_their_own(dataset):
    batch = dataset.__getitems__([(0, (1, 0)), (0, (0,))])
    assert batch["sequence_ids"].tolist() == [[1] * 16 + [2] * 11, [1] * 11 + [0] * 16]
    assert batch["cu_seqlens"].tolist() == [0, 16, 27, 38]
    assert batch["cu_seqlens"].dtype == torch.int32
    assert sorted(batch["places"].tolist()) == [*range(27), *range(27, 38)]
    first_row = by_sequence(dataset.__getitems__([(0, (1, 0))]))
    assert [first_row[number]["position_ids"] for number in (1, 2)] == [[*range(16)], [*range(11)]]
    assert first_row[2]["token_type_ids"] == [0] * 6 + [1] * 5


def test_masked_tokens_come_first_and_specials_are_none_of_them(dataset):
    for epoch in range(50):
        batch = dataset.__getitems__([(epoch, (0, 1))])
        for sequence, specials in ((1, [0, 5, 10]), (2, [0, -1])):
            words = by_sequence(batch)[sequence]["words"]
            assert [words[place] for place in specials] == [-1] * len(specials)
        assert (batch["input_ids"][len(batch["labels"]) :] != dataset.mask_token_id).all()
        assert (batch["labels"] > dataset.mask_token_id).all()


def test_rows_have_the_length_that_is_asked_for_and_an_empty_one_has_no_tokens(dataset):
    dataset.row_length = 32
    batch = dataset.__getitems__([(0, ()), (0, (0,))])
    assert batch["sequence_ids"].tolist() == [[0] * 32, [1] * 11 + [0] * 21]
    empty = dataset.__getitems__([(0, ())])
    assert {name: tuple(tensor.shape) for name, tensor in empty.items()} == {
        **dict.fromkeys(("input_ids", "token_type_ids", "position_ids", "places", "labels"), (0,)),
        "sequence_ids": (1, 32),
        "cu_seqlens": (1,),
    }
