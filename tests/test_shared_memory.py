"""Processes that prepare batches and die, or find no room in /dev/shm, through which batches come from them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation.batches import BatchOrder, MaskedSequences, StepPlan, batches_by_step
from bert_distillation.errors import InputError
from bert_distillation.packing import Packing
from bert_distillation.sequences import open_sequences, sequence_lengths
from small_models import TEXTS, small_sequences

SCRIPT = """
mount -t tmpfs -o size={size} none /dev/shm && exec {python} -m bert_distillation.pretrain {arguments}
"""
SETTINGS = "--num_layers 1 --hidden_size 16 --num_attention_heads 2 --intermediate_size 16 --mixed_precision no "
SETTINGS += (
    "--max_train_steps 9 --per_device_train_batch_size 64 --gradient_accumulation_steps 4 --dataloader_workers 2"
)
SENTENCE = "a process that prepares batches has died or could not start, most often for lack of memory or of room in "
SENTENCE += "/dev/shm; lower --dataloader_workers (0 does without such processes)."


@pytest.fixture(scope="module")
def sequences(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sequences(tmp_path_factory.mktemp("data") / "sequences", tokenizer, TEXTS)


@pytest.mark.parametrize("size", ["16k", "64k"])  # room for no process; room for no batch
def test_a_full_shared_memory_is_said_as_such_and_not_as_a_full_output(size: str, sequences: Path, tmp_path: Path):
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "/bin/bash", "-c"]
    if subprocess.run([*unshare, "mount -t tmpfs none /dev/shm"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system in a namespace of its own")
    arguments = f"--sequences {sequences} --model {tmp_path / 'model'} {SETTINGS}"
    command = [*unshare, SCRIPT.format(size=size, python=sys.executable, arguments=arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 1, done.stderr
    assert f"error: {SENTENCE}" in done.stderr.splitlines()


def prepare(sequences: Path, tokenizer: PreTrainedTokenizerFast, dataset: type[MaskedSequences]) -> None:
    """Two processes make the batches of a step."""
    corpus = open_sequences(sequences)
    packing = Packing(sequence_lengths(corpus), 40, seed=0)
    plan = StepPlan(packing=packing, per_device_batch_size=1, batches_per_step=6, num_processes=1)
    next(batches_by_step(dataset(corpus, tokenizer, 0.15, 0, 40), BatchOrder(plan, 0, 0, 100), workers=2))


def test_a_process_that_was_killed_is_a_sentence(sequences: Path, tokenizer: PreTrainedTokenizerFast):
    class Killed(MaskedSequences):
        def __getitems__(self, rows: object) -> dict[str, torch.Tensor]:
            os.kill(os.getpid(), signal.SIGKILL)
            return {}

    with pytest.raises(InputError) as told:
        prepare(sequences, tokenizer, Killed)
    assert str(told.value) == SENTENCE


def test_a_bug_in_such_a_process_keeps_its_stack_trace(sequences: Path, tokenizer: PreTrainedTokenizerFast):
    class Faulty(MaskedSequences):
        def __getitems__(self, rows: object) -> dict[str, torch.Tensor]:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match=r"(?s)Original Traceback.*a bug"):
        prepare(sequences, tokenizer, Faulty)
