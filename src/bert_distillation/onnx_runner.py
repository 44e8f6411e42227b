"""A masked-LM run by ONNX Runtime, from the graph that `export` writes beside the weights."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from bert_distillation.cores import available_cores


class OnnxRunner:
    """See `fill_mask.Runner`."""

    tokens_per_batch = 512

    def __init__(self, folder: Path, graph: str, num_threads: int = 0):
        """graph: its file in the folder. num_threads: 0 takes all cores that this process may use."""
        config = json.loads((folder / "config.json").read_text())
        self.max_length, self.vocab_size = config["max_position_embeddings"], config["vocab_size"]
        options = onnxruntime.SessionOptions()
        # Without a number, each thread is bound to a core of the machine, also to those that a container may not use.
        options.intra_op_num_threads = num_threads or available_cores()
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores alone
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(folder / graph), options, providers=["CPUExecutionProvider"])

    def logits(self, texts: Sequence[Sequence[int]], mask_token_id: int) -> np.ndarray:
        """(M, V) float32 logits of all masks of the texts, in their order."""
        return self.session.run(["logits"], layout(texts, mask_token_id))[0]


def layout(texts: Sequence[Sequence[int]], mask_token_id: int) -> dict[str, np.ndarray]:
    """The inputs of the graph for some texts; see `onnx_graph`."""
    lengths = np.array([len(text) for text in texts], np.int32)
    input_ids = np.concatenate([np.asarray(text, np.int64) for text in texts])
    masks = np.flatnonzero(input_ids == mask_token_id)
    rows, places, positions = _grid(lengths, np.arange(len(input_ids)))
    text_of_mask = np.searchsorted(np.cumsum(lengths), masks, side="right")
    counts = np.bincount(text_of_mask, minlength=len(texts)).astype(np.int32)
    mask_rows, mask_places, _ = _grid(counts, np.arange(len(masks)))
    return {
        "input_ids": input_ids,
        "positions": positions,
        "rows": rows,
        "places": places,
        "lengths": lengths,
        "masks": masks,
        "mask_rows": mask_rows,
        "mask_places": mask_places,
    }


def _grid(counts: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, longest) which item stands where, (items,) where each stands, and (items,) its place in its row."""
    positions = items - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.repeat(np.arange(len(counts)) * counts.max(), counts) + positions
    grid = np.zeros(len(counts) * int(counts.max()), np.int64)
    grid[places] = items
    return grid.reshape(len(counts), -1), places, positions
