"""Distil BERT into DistilBERT: each step is `python -m bert_distillation.<step>`. Knows nothing of Azure."""

import sys
from types import TracebackType

__version__ = "0.1.0"


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("error: interrupted.", file=sys.stderr, flush=True)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # a step is about to start, and imports libraries for seconds before it can end in order
    sys.excepthook = _report
