"""GLUE's official metrics, from scikit-learn and scipy."""

from functools import partial

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bert_distillation.glue import Task, metric_of_split

CLASS_METRICS = {
    "accuracy": accuracy_score,
    "f1": partial(f1_score, zero_division=0.0),
    "matthews_correlation": matthews_corrcoef,
}
SCORE_METRICS = {"pearson": pearsonr, "spearman": spearmanr}


def task_metrics(task: Task, by_split: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The task's metrics, headline among them, from (predictions, labels) of each validation split.

    Predictions and labels are class ids (N,), or scores (N,) where the task is a regression.
    """
    several = len(by_split) > 1
    return {
        metric_of_split(name, split) if several else name: value
        for split, (predictions, labels) in by_split.items()
        for name, value in split_metrics(task, predictions, labels).items()
    }


def split_metrics(task: Task, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of one split; where GLUE has two, their mean as well."""
    measure = _correlation if task.is_regression else _classification
    values = {name: measure(name, predictions, labels) for name in task.metrics}
    if len(values) > 1:
        values[task.headline] = float(np.mean(list(values.values())))
    return values


def _classification(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(CLASS_METRICS[name](labels, predictions))


def _correlation(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    # scipy has no number for a constant; a model that always says the same tells nothing, as for Matthews.
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(SCORE_METRICS[name](predictions, labels).statistic)
