from collections import Counter

import datasets
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_distillation.batches import FILLER, BatchOrder, MaskedSequences, StepPlan
from bert_distillation.masking import IGNORE_INDEX

PLANS = st.builds(
    StepPlan,
    num_sequences=st.integers(1, 60),
    per_device_batch_size=st.integers(1, 5),
    batches_per_step=st.integers(1, 4),
    num_processes=st.integers(1, 4),
    seed=st.integers(0, 100),
)


def sequences_of(plan: StepPlan, step: int) -> list[int]:
    places = [p for process in range(plan.num_processes) for batch in plan.batches(step, process) for p in batch]
    return sorted(index for _, index in places if index != FILLER)


@settings(max_examples=200)
@given(PLANS)
def test_each_epoch_covers_every_sequence_exactly_once(plan):
    for epoch in range(2):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        counts = Counter(index for step in steps for index in sequences_of(plan, step))
        assert counts == Counter(range(plan.num_sequences))


@settings(max_examples=200)
@given(PLANS)
def test_every_process_has_as_many_batches_a_step_and_none_is_empty_or_too_large(plan):
    for step in range(plan.steps_per_epoch):
        for process in range(plan.num_processes):
            batches = plan.batches(step, process)
            assert len(batches) == plan.batches_per_step
            assert all(1 <= len(batch) <= plan.per_device_batch_size for batch in batches)


@given(st.integers(1, 60), st.integers(0, 9))
def test_a_step_has_the_same_sequences_however_it_is_cut(num_sequences, seed):
    cuts = [(8, 1, 1), (4, 2, 1), (2, 2, 2), (1, 1, 8)]
    plans = [
        StepPlan(num_sequences=num_sequences, per_device_batch_size=b, batches_per_step=a, num_processes=p, seed=seed)
        for b, a, p in cuts
    ]
    for step in range(plans[0].steps_per_epoch):
        assert len({tuple(sequences_of(plan, step)) for plan in plans}) == 1


def test_a_resumed_order_goes_on_where_the_first_one_stopped():
    plan = StepPlan(num_sequences=23, per_device_batch_size=2, batches_per_step=2, num_processes=2, seed=3)
    whole = list(BatchOrder(plan, process=1, first_step=0, last_step=12))
    assert whole[5 * 2 :] == list(BatchOrder(plan, process=1, first_step=5, last_step=12))
    assert len(whole) == len(BatchOrder(plan, process=1, first_step=0, last_step=12)) == 24


def test_epochs_differ_in_order():
    plan = StepPlan(num_sequences=40, per_device_batch_size=40, batches_per_step=1, num_processes=1, seed=0)
    assert plan.batches(0, 0) != plan.batches(1, 0)


@pytest.fixture
def dataset(tokenizer):
    texts = [("the cat sleeps .", "it was old ."), ("paris is the capital of france .", "today is a sunny day !")]
    rows = []
    for first, second in texts:
        a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (first, second))
        rows.append({"input_ids": [2, *a, 3, *b, 3], "second_start": len(a) + 2})
    return MaskedSequences(datasets.Dataset.from_list(rows), tokenizer, mlm_probability=0.3, seed=7)


def test_masks_depend_on_epoch_and_sequence_and_on_nothing_else(dataset):
    alone, together = dataset.__getitems__([(0, 0)]), dataset.__getitems__([(0, 1), (0, 0)])
    for name in ("input_ids", "labels", "token_type_ids"):
        assert torch.equal(alone[name][0], together[name][1, :11]), name
    labels = [dataset.__getitems__([(epoch, 1)])["labels"] for epoch in range(5)]
    assert any(not torch.equal(labels[0], other) for other in labels[1:])


def test_token_types_begin_with_the_second_text_and_specials_have_no_label(dataset):
    assert dataset.__getitems__([(0, 0)])["token_type_ids"].tolist() == [[0] * 6 + [1] * 5]
    for epoch in range(50):
        labels = dataset.__getitems__([(epoch, 0)])["labels"]
        assert (labels[0, [0, 5, 10]] == IGNORE_INDEX).all()


def test_a_filler_has_tokens_but_no_loss(dataset):
    batch = dataset.__getitems__([(0, FILLER)])
    assert batch["input_ids"].shape == (1, 11)
    assert (batch["labels"] == IGNORE_INDEX).all()
    assert not batch["loss_mask"].any()
    assert batch["attention_mask"].all()


def test_padding_has_no_attention_no_loss_and_no_label(dataset, tokenizer):
    batch = dataset.__getitems__([(0, 0), (0, 1)])
    assert batch["input_ids"].shape == (2, 16)
    assert batch["attention_mask"].sum(dim=1).tolist() == [11, 16]
    assert (batch["input_ids"][0, 11:] == tokenizer.pad_token_id).all()
    assert (batch["token_type_ids"][0, 11:] == 0).all()
    assert (batch["labels"][0, 11:] == IGNORE_INDEX).all()
    assert torch.equal(batch["loss_mask"], batch["attention_mask"].bool())
