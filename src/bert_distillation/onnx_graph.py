"""A masked-LM as an ONNX graph for fast answers on a CPU; its weights stay in the model's `model.safetensors`.

What `torch.onnx.export` would write does more than an answer needs. Here only real tokens are multiplied (padding is in
attention alone), the last layer works on the masks alone, and so does the vocabulary layer.
Sizes: N tokens of B texts, of which M are masks; T tokens in the longest text, Q masks in the text with most; D hidden
units, V words.

Inputs
  input_ids, positions       (N,) int64, the texts after one another
  rows, places               (B, T) int64, which token stands where in a grid with a text a row (0 where none stands),
                             and (N,) where in the flattened grid each token stands
  lengths                    (B,) int32, tokens of each text
  masks                      (M,) int64, the masks among the tokens
  mask_rows, mask_places     (B, Q) and (M,), the same as `rows` and `places` for the masks alone
Output
  logits                     (M, V) float32
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bert_distillation.errors import InputError

WEIGHTS_FILE = "model.safetensors"
OPSET, MICROSOFT_OPSET, IR_VERSION = 17, 1, 10
INDICES = {"input_ids": ["N"], "positions": ["N"], "rows": ["B", "T"], "places": ["N"]}
INDICES |= {"masks": ["M"], "mask_rows": ["B", "Q"], "mask_places": ["M"]}
# How many weights, and how many of the states that they multiply, share a scale in 8 bits. Coarse blocks are faster. On
# a trained model only these parts take them without a loss; at 128, all but the words then depend on the batch.
BLOCKS, FINE_BLOCK = {"query": 64, "key": 64, "widen": 64, "words": 128}, 32
ZERO_POINT = 128  # of weights in 8 bits, which are stored as unsigned numbers

# What transformers calls the parts of a layer in its two architectures.
DISTILBERT = {
    "body": "distilbert.transformer.layer.",
    "embeddings": "distilbert.embeddings.",
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attended": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "widen": "ffn.lin1",
    "narrow": "ffn.lin2",
    "norm": "output_layer_norm",
    "transform": "vocab_transform",
    "transform_norm": "vocab_layer_norm",
    "words": "vocab_projector",
}
BERT = {
    "body": "bert.encoder.layer.",
    "embeddings": "bert.embeddings.",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm": "output.LayerNorm",
    "transform": "cls.predictions.transform.dense",
    "transform_norm": "cls.predictions.transform.LayerNorm",
    "words": "cls.predictions",
}


@dataclass(frozen=True)
class Shape:
    """What of a model's `config.json` shapes the graph."""

    names: dict[str, str]
    layers: int
    heads: int
    epsilon: float

    @classmethod
    def of(cls, config: dict[str, Any]) -> "Shape":
        """The shape of a BERT or a DistilBERT; InputError where the graph would not be the model."""
        is_student = config["model_type"] == "distilbert"
        activation = config["activation" if is_student else "hidden_act"]
        if activation != "gelu":
            raise InputError(f"The model's activation is {activation}; a graph can be made with gelu only.")
        if not is_student and not config.get("tie_word_embeddings", True):
            raise InputError("The model's vocabulary layer has weights of its own; a graph can be made of shared ones.")
        if is_student:
            return cls(DISTILBERT, config["n_layers"], config["n_heads"], 1e-12)
        return cls(BERT, config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])


class Weights:
    """The tensors of a safetensors file: where they lie in it, and what they hold."""

    def __init__(self, file: Path):
        with file.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            self.entries = json.loads(stream.read(size))
        self.entries.pop("__metadata__", None)
        self.start = 8 + size
        self.data = np.memmap(file, np.uint8, "r")
        wrong = sorted({entry["dtype"] for entry in self.entries.values()} - {"F32"})
        if wrong:
            raise InputError(f"{file} holds weights of type {wrong[0]}; a graph can be made of single precision only.")

    def array(self, name: str) -> np.ndarray:
        """A tensor's numbers, still in the file."""
        begin, end = self.place(name)
        return self.data[begin:end].view(np.float32).reshape(self.entries[name]["shape"])

    def place(self, name: str) -> tuple[int, int]:
        """The bytes of a tensor in the file."""
        begin, end = self.entries[name]["data_offsets"]
        return self.start + begin, self.start + end

    def reference(self, name: str) -> TensorProto:
        """The tensor as ONNX's external data."""
        begin, end = self.place(name)
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=self.entries[name]["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS_FILE), ("offset", begin), ("length", end - begin)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


class Graph:
    """Nodes and weights as they come; each method adds one operation and returns the name of its result."""

    def __init__(self, weights: Weights, shape: Shape, eight_bits: bool):
        self.weights, self.shape, self.eight_bits = weights, shape, eight_bits
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, TensorProto] = {}

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One operation with one result."""
        result = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [result], domain=domain, **attributes))
        return result

    def microsoft(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One of ONNX Runtime's own operations."""
        return self.op(kind, *inputs, domain="com.microsoft", **attributes)

    def weight(self, name: str) -> str:
        """A tensor of the model's file."""
        self.tensors.setdefault(name, self.weights.reference(name))
        return name

    def constant(self, name: str, values: np.ndarray) -> str:
        """A small tensor that lies in the graph itself."""
        self.tensors.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def product(self, states: str, name: str, block: int = FINE_BLOCK) -> str:
        """states @ weight^T, without the bias, which the next operation adds."""
        if not self.eight_bits:
            return self.op("Gemm", states, self.weight(name), transB=1)
        values = self.weights.array(name)
        numbers, scales = in_eight_bits(values, block)
        quantized = self.constant(f"{name}.numbers", numbers), self.constant(f"{name}.scales", scales)
        attributes = {"K": values.shape[1], "N": values.shape[0], "bits": 8, "block_size": block}
        return self.microsoft("MatMulNBits", states, *quantized, **attributes, accuracy_level=4)

    def norm(self, states: str, skip: str, name: str, bias: str) -> str:
        """Layer norm of the sum of two states and the bias of the first."""
        inputs = (self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), self.weight(bias))
        return self.microsoft("SkipLayerNormalization", states, skip, *inputs, epsilon=self.shape.epsilon)

    def embeddings(self) -> str:
        """(N, D) the sum of word and position embeddings, normalised."""
        prefix = self.shape.names["embeddings"]
        words = self.op("Gather", self.weight(f"{prefix}word_embeddings.weight"), "input_ids")
        table = f"{prefix}position_embeddings.weight"
        types = f"{prefix}token_type_embeddings.weight"
        if types in self.weights.entries:  # all tokens are of the first type
            table = self.constant("positions_of_type_0", self.weights.array(table) + self.weights.array(types)[:1])
        else:
            table = self.weight(table)
        total = self.op("Add", words, self.op("Gather", table, "positions"))
        scale_and_shift = (self.weight(f"{prefix}LayerNorm.weight"), self.weight(f"{prefix}LayerNorm.bias"))
        return self.op("LayerNormalization", total, *scale_and_shift, epsilon=self.shape.epsilon)

    def layer(self, states: str, index: int, last: bool) -> str:
        """(N, D) -> (N, D) or, of the last layer, (M, D): what comes after it looks at the masks alone."""
        name = {part: f"{self.shape.names['body']}{index}.{own}" for part, own in self.shape.names.items()}
        rows, places = ("mask_rows", "mask_places") if last else ("rows", "places")
        asking = self.op("Gather", states, "masks") if last else states
        query, key, value = (
            self.op("Gather", self.product(source, f"{name[part]}.weight", BLOCKS.get(part, FINE_BLOCK)), to)
            for part, source, to in (("query", asking, rows), ("key", states, "rows"), ("value", states, "rows"))
        )
        biases = [self.weights.array(f"{name[part]}.bias") for part in ("query", "key", "value")]
        inputs = (query, key, value, self.constant(f"{name['query']}.biases", np.concatenate(biases)), "lengths")
        grid = self.microsoft("MultiHeadAttention", *inputs, num_heads=self.shape.heads)
        flat = self.op("Reshape", grid, self.constant("flat", np.array([-1, len(biases[0])], np.int64)))
        mixed = self.product(self.op("Gather", flat, places), f"{name['attended']}.weight")
        states = self.norm(mixed, asking, name["attention_norm"], f"{name['attended']}.bias")
        wide = self.product(states, f"{name['widen']}.weight", BLOCKS["widen"])
        wide = self.microsoft("BiasGelu", wide, self.weight(f"{name['widen']}.bias"))
        narrow = self.product(wide, f"{name['narrow']}.weight")
        return self.norm(narrow, states, name["norm"], f"{name['narrow']}.bias")

    def vocabulary(self, states: str) -> None:
        """(M, D) -> (M, V) logits."""
        names = self.shape.names
        wide = self.product(states, f"{names['transform']}.weight")
        wide = self.microsoft("BiasGelu", wide, self.weight(f"{names['transform']}.bias"))
        scale_and_shift = (self.weight(f"{names['transform_norm']}.{part}") for part in ("weight", "bias"))
        normed = self.op("LayerNormalization", wide, *scale_and_shift, epsilon=self.shape.epsilon)
        own, tied = f"{names['words']}.weight", f"{names['embeddings']}word_embeddings.weight"
        logits = self.product(normed, own if own in self.weights.entries else tied, BLOCKS["words"])
        self.nodes.append(helper.make_node("Add", [logits, self.weight(f"{names['words']}.bias")], ["logits"]))

    def model(self) -> onnx.ModelProto:
        """The whole graph."""
        states = self.embeddings()
        for index in range(self.shape.layers):
            states = self.layer(states, index, last=index == self.shape.layers - 1)
        self.vocabulary(states)
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, dims) for name, dims in INDICES.items()]
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"]))
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["M", "V"])]
        graph = helper.make_graph(self.nodes, "fill_mask", inputs, outputs, list(self.tensors.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", MICROSOFT_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def in_eight_bits(weight: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) -> (N, K / block, block) unsigned bytes and (N * K / block,) scales, as `MatMulNBits` reads them."""
    blocks = np.zeros((weight.shape[0], -(-weight.shape[1] // block) * block), np.float32)
    blocks[:, : weight.shape[1]] = weight
    blocks = blocks.reshape(weight.shape[0], -1, block)
    scales = np.maximum(np.abs(blocks).max(axis=-1, keepdims=True) / (ZERO_POINT - 1), np.finfo(np.float32).tiny)
    return (np.rint(blocks / scales) + ZERO_POINT).astype(np.uint8), scales.reshape(-1)


def write_graph(folder: Path, name: str, eight_bits: bool = False) -> None:
    """Write a graph beside the weights of a model in Hugging Face format."""
    shape = Shape.of(json.loads((folder / "config.json").read_text()))
    (folder / name).write_bytes(Graph(Weights(folder / WEIGHTS_FILE), shape, eight_bits).model().SerializeToString())
