"""The student: DistilBERT with some of the teacher's layers, initialised from the teacher.

As published: the embeddings, the chosen layers and the vocabulary projection are the teacher's; the transform before
the projection starts afresh unless asked for; there are no token types and no pooler.
"""

import math

import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

from bert_distillation.errors import InputError

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


def student_config(teacher: BertConfig, num_layers: int, dropout: float) -> DistilBertConfig:
    """DistilBERT of the teacher's width and vocabulary."""
    return DistilBertConfig(
        vocab_size=teacher.vocab_size,
        max_position_embeddings=teacher.max_position_embeddings,
        n_layers=num_layers,
        n_heads=teacher.num_attention_heads,
        dim=teacher.hidden_size,
        hidden_dim=teacher.intermediate_size,
        activation=teacher.hidden_act,
        dropout=dropout,
        attention_dropout=dropout,
        initializer_range=teacher.initializer_range,
        pad_token_id=teacher.pad_token_id,
    )


def student_from_teacher(
    teacher: BertForMaskedLM, num_layers: int, *, dropout: float = 0.1, copy_mlm_transform: bool = False
) -> DistilBertForMaskedLM:
    """A student with `num_layers` of the teacher's layers, equal to them bit for bit."""
    layers = layers_to_copy(teacher.config.num_hidden_layers, num_layers)
    student = DistilBertForMaskedLM(student_config(teacher.config, num_layers, dropout))
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


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy every parameter of one module into its twin."""
    target.load_state_dict(source.state_dict())
