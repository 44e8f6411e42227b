"""A masked-LM model in its two halves, body and vocabulary layer, for BERT and DistilBERT alike.

Sizes: B sequences, T tokens each, N tokens that go through the vocabulary layer, D hidden units, V words.
"""

from torch import Tensor
from transformers import BertForMaskedLM, DistilBertForMaskedLM, PreTrainedModel

from bert_distillation.errors import InputError

MaskedLM = BertForMaskedLM | DistilBertForMaskedLM


def require_masked_lm(model: PreTrainedModel, of: str) -> MaskedLM:
    """The model itself, if it is a BERT or DistilBERT with a masked-LM head."""
    if not isinstance(model, MaskedLM):
        raise InputError(f"{of}: this is a {type(model).__name__}; give a BERT or DistilBERT with a masked-LM head.")
    return model


def last_hidden_states(model: MaskedLM, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    """(B, T, D) hidden states of the last layer; token types go to BERT alone, DistilBERT has none.

    input_ids, attention_mask, token_type_ids: (B, T), int64.
    """
    if isinstance(model, DistilBertForMaskedLM):
        return model.distilbert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    output = model.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    return output.last_hidden_state


def vocabulary_logits(model: MaskedLM, hidden_states: Tensor) -> Tensor:
    """(N, V) logits over the vocabulary for (N, D) hidden states."""
    if isinstance(model, DistilBertForMaskedLM):
        transformed = model.activation(model.vocab_transform(hidden_states))
        return model.vocab_projector(model.vocab_layer_norm(transformed))
    return model.cls(hidden_states)
