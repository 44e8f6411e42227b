"""A masked-LM run by torch: on GPUs, in bf16, or where the model's folder holds no ONNX graph."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from bert_distillation import hub
from bert_distillation.errors import InputError
from bert_distillation.masked_lm import MaskedLM, require_masked_lm, text_hidden_states, vocabulary_logits

TOKENS_PER_BATCH = {"cpu": 512, "cuda": 16_384}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRunner:
    """See `fill_mask.Runner`."""

    def __init__(self, model: MaskedLM):
        self.model = model.eval()
        self.max_length: int = model.config.max_position_embeddings
        self.vocab_size: int = model.config.vocab_size
        self.tokens_per_batch = TOKENS_PER_BATCH.get(model.device.type, TOKENS_PER_BATCH["cpu"])

    @classmethod
    def load(
        cls, folder: Path, precision: str, device: str, num_threads: int
    ) -> tuple["TorchRunner", PreTrainedTokenizerFast]:
        """The model of a folder in Hugging Face format, and its tokenizer. num_threads: 0 leaves torch its own."""
        if device.startswith("cuda"):
            require_gpu(device)
        if num_threads:
            torch.set_num_threads(num_threads)
        model = require_masked_lm(hub.load_model(AutoModelForMaskedLM, folder, "", of="model"), "model")
        model.to(torch.device(device), DTYPES[precision])  # type: ignore[arg-type, call-arg]
        return cls(model), hub.load_tokenizer(folder, "", of="model")

    @torch.inference_mode()
    def logits(self, texts: Sequence[Sequence[int]], mask_token_id: int) -> np.ndarray:
        """(M, V) float32 logits of all masks of the texts, in their order."""
        lengths = torch.tensor([len(text) for text in texts])
        input_ids = torch.cat([torch.tensor(text) for text in texts])
        hidden_states = text_hidden_states(self.model, input_ids, lengths)
        masks = (input_ids == mask_token_id).nonzero()[:, 0].to(hidden_states.device)
        return vocabulary_logits(self.model, hidden_states[masks]).float().cpu().numpy()


def require_gpu(device: str) -> None:
    """Refuse a GPU that this machine has not. device: cuda or cuda:N."""
    if not torch.cuda.is_available():
        raise InputError(f"The device is {device}, but this machine has none that torch can use; take cpu.")
    count = torch.cuda.device_count()
    if int(device.partition(":")[2] or 0) >= count:
        raise InputError(f"The device is {device}, but the last of this machine's GPUs is cuda:{count - 1}; take that.")
