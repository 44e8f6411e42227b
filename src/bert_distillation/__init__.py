"""Distil BERT into DistilBERT: each step is `python -m bert_distillation.<step>`. Knows nothing of Azure."""

__version__ = "0.1.0"
