"""The student: DistilBERT with some of the teacher's layers, initialised from the teacher.

As published: the embeddings, the chosen layers and the vocabulary projection are the teacher's; the transform before
the projection starts afresh unless asked for; there are no token types and no pooler. A student narrower than its
teacher has weights of its own throughout, because none of the teacher's fit.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

from bert_distillation.errors import InputError

LAYER_NORM_EPS = 1e-12  # in the code of DistilBERT, which no configuration changes
# teacher's name -> student's name, within a layer
LAYER_NAMES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def layers_to_copy(teacher_layers: int, student_layers: int) -> list[int]:
    """Evenly spaced layers of the teacher, first and last among them: 0, 2, 4, 7, 9, 11 for six of twelve."""
    if not 1 <= student_layers <= teacher_layers:
        raise InputError(
            f"num_layers is {student_layers}, but the teacher has {teacher_layers} layers; "
            f"give a number from 1 to {teacher_layers}."
        )
    if student_layers == 1:
        return [0]
    stride = (teacher_layers - 1) / (student_layers - 1)
    return [math.floor(index * stride + 0.5) for index in range(student_layers)]


def parse_layers(layers: str) -> list[int]:
    """The teacher's layers by number, from 0 up: "0,2,4" -> [0, 2, 4]; an empty text names none."""
    try:
        numbers = [int(number) for number in layers.split(",")] if layers.strip() else []
    except ValueError:
        raise InputError(f"layers must be numbers with commas between, such as 0,2,4, got {layers!r}.") from None
    if numbers != sorted(set(numbers)) or min(numbers, default=0) < 0:
        raise InputError(f"layers must rise from 0 or more, each named once, such as 0,2,4, got {layers!r}.")
    return numbers


def check_layers(layers: Sequence[int], teacher_layers: int) -> None:
    """Refuse layers that the teacher does not have; `layers` rise."""
    if layers and layers[-1] >= teacher_layers:
        raise InputError(
            f"layers names layer {layers[-1]}, but the teacher's layers are 0 to {teacher_layers - 1}; "
            "name layers that it has."
        )


def student_config(teacher: BertConfig, num_layers: int, dropout: float, hidden_size: int = 0) -> DistilBertConfig:
    """DistilBERT of the teacher's vocabulary and, unless `hidden_size` asks for less, of its width.

    A narrower student keeps the size of a head and the ratio of the feed-forward layers to the width.
    """
    width = hidden_size or teacher.hidden_size
    check_width(teacher, width)
    return DistilBertConfig(
        vocab_size=teacher.vocab_size,
        max_position_embeddings=teacher.max_position_embeddings,
        n_layers=num_layers,
        n_heads=width * teacher.num_attention_heads // teacher.hidden_size,
        dim=width,
        hidden_dim=width * teacher.intermediate_size // teacher.hidden_size,
        activation=teacher.hidden_act,
        dropout=dropout,
        attention_dropout=dropout,
        initializer_range=teacher.initializer_range,
        pad_token_id=teacher.pad_token_id,
    )


def check_width(teacher: BertConfig, width: int) -> None:
    """Refuse a width that is more than the teacher's, or that its heads or feed-forward layers cannot follow."""
    heads, units = width * teacher.num_attention_heads, width * teacher.intermediate_size
    if width <= teacher.hidden_size and heads % teacher.hidden_size == 0 and units % teacher.hidden_size == 0:
        return
    # The smallest width with a whole number of heads and of feed-forward units.
    unit = teacher.hidden_size // math.gcd(teacher.hidden_size, teacher.num_attention_heads, teacher.intermediate_size)
    raise InputError(
        f"hidden_size is {width}, but the teacher is {teacher.hidden_size} wide with {teacher.num_attention_heads} "
        f"heads; give a multiple of {unit} up to {teacher.hidden_size}."
    )


def student_from_teacher(
    teacher: BertForMaskedLM,
    num_layers: int,
    *,
    layers: Sequence[int] = (),
    dropout: float = 0.1,
    copy_mlm_transform: bool = False,
) -> DistilBertForMaskedLM:
    """A student with some of the teacher's layers, equal to them bit for bit.

    layers: which ones, in place of `num_layers` evenly spaced ones.
    """
    check_layers(layers, teacher.config.num_hidden_layers)
    layers = layers or layers_to_copy(teacher.config.num_hidden_layers, num_layers)
    student = DistilBertForMaskedLM(student_config(teacher.config, len(layers), dropout))
    teacher_embeddings, embeddings = teacher.bert.embeddings, student.distilbert.embeddings
    for name in ("word_embeddings", "position_embeddings", "LayerNorm"):
        copy_weights(getattr(teacher_embeddings, name), getattr(embeddings, name))
    for index, layer in zip(layers, student.distilbert.transformer.layer, strict=True):
        for teacher_name, name in LAYER_NAMES.items():
            copy_weights(teacher.bert.encoder.layer[index].get_submodule(teacher_name), layer.get_submodule(name))
    with torch.no_grad():
        student.vocab_projector.bias.copy_(teacher.cls.predictions.decoder.bias)
    if copy_mlm_transform:
        copy_weights(teacher.cls.predictions.transform.dense, student.vocab_transform)
        copy_weights(teacher.cls.predictions.transform.LayerNorm, student.vocab_layer_norm)
    return student


def narrow_student(
    teacher: BertConfig, num_layers: int, hidden_size: int, *, dropout: float = 0.1
) -> DistilBertForMaskedLM:
    """A student of fewer hidden units: every weight is new, embeddings and vocabulary projection among them."""
    return DistilBertForMaskedLM(student_config(teacher, num_layers, dropout, hidden_size))


def width_projection(student: DistilBertConfig, teacher: BertConfig) -> nn.Linear | None:
    """Maps the student's hidden states to the teacher's width, for the cosine between them; None at equal widths.

    It is learnt beside the student and is no part of it: the student is saved without.
    """
    if student.dim == teacher.hidden_size:
        return None
    return nn.Linear(student.dim, teacher.hidden_size, bias=False)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy every parameter of one module into its twin."""
    target.load_state_dict(source.state_dict())
