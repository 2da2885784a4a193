"""Cross-validation on arrays."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _facefold

if TYPE_CHECKING:
    import pandas
    from numpy.typing import ArrayLike

# The column of labels that a task reads.
LABELS = {"gender": "gender", "age": "age", "age-group": "age", "class": "class"}


def cross_validate(
    embeddings: ArrayLike,
    labels: Iterable[Any] | Mapping[str, Iterable[Any]] | pandas.DataFrame,
    subjects: Iterable[Any] | None = None,
    *,
    heads: Sequence[str] = ("mlp", "svm", "linear"),
    task: str | Sequence[str] = "gender",
    mirrored: ArrayLike | None = None,
    folds: Iterable[int] | None = None,
    protocol: str | None = None,
    label_policy: str = "exact",
    age_groups: str = "adience",
    thresholds: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    seeds: int = 1,
    threads: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> pandas.DataFrame:
    """Cross-validate heads on embeddings of any network; needs pandas.

    The figures are those of ``facefold store import`` and ``facefold cv`` on the same rows. No subject has rows on
    both sides of a split (but under ``random80``), rows with the same values count as one subject, and rows of zeros are
    left out. The majority baseline is always added.

    :param embeddings: (rows, values) of floats; kept as float32.
    :param labels: What is known of each row for ``task``: ``f`` or ``m``; ages in years or ranges (``35``, ``25-32``,
        ``60+``); names of classes. Or several columns by their names, as a mapping or data frame: ``gender``, ``age``,
        ``class``, and where known ``path``, ``subject``, ``fold``, ``split`` and ``race``. None and NaN are unknown.
    :param subjects: Who is in each row. Without it every row is a subject of its own, and figures
        are too good where a person stands in several.
    :param heads: Names of heads, as ``facefold heads`` lists them.
    :param task: ``gender``, ``age``, ``age-group`` or ``class``; several with ``labels`` of several columns.
    :param mirrored: The embeddings of the mirrored pictures, to train on and to average over.
    :param folds: The number of each row's fold, from 0, where folds are published.
    :param protocol: ``folds``, ``kfold:K`` (by subject), ``split``, or ``random80``; by default folds where
        there are any, else a split, else ``kfold:5``.
    :param label_policy: How ages become age groups: ``exact``, ``remap`` or ``nearest``.
    :param age_groups: ``adience``, ``nine``, or a list such as ``0-12,13-19,20+``.
    :param thresholds: Ages to decide at, of the age task; the decisions are in the report.
    :param settings: Settings of heads, as ``facefold heads NAME`` lists them: ``{"mlp.epochs": 20, "svm.c": [0.1, 1]}``.
    :param seed: First seed.
    :param seeds: Number of seeds.
    :param threads: 0 takes all cores. The figures do not depend on it.
    :param out: Directory for the report (``report.html``, ``report.json``, predictions). The same call again goes on
        from the fits that are finished there.
    :returns: A row for each head and fit, then its summary:

        =====================  =========================================================================
        ``task``, ``head``     what was predicted, and by which head
        ``statistic``          ``fold``: one fit on its test rows; ``mean`` and ``std`` over folds; ``pooled``: all
                               test rows together; ``ci_low``, ``ci_high``: 95 % interval of ``pooled``, by
                               drawing subjects with replacement
        ``split``, ``seed``    of a fit
        ``train_rows``         rows that were fitted
        ``test_rows``          rows that were tested
        ``seconds``            of a fit and its predictions
        metrics                ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``roc_auc``, ... ; of ages
                               ``mean_absolute_error``, ``root_mean_squared_error``, ``cumulative_score5``, ... (NaN
                               where one was not measured)
        =====================  =========================================================================

        What a reader must know before any figure is in ``frame.attrs["warnings"]``.
    :raises ValueError: Arrays that do not fit together, a value that is not finite, or a wrong label or option.
    :raises ImportError: pandas is not installed.

    >>> import numpy as np
    >>> import facefold
    >>> random = np.random.default_rng(0)
    >>> subjects = np.repeat(np.arange(40), 3)
    >>> labels = np.where(subjects % 2 == 0, "f", "m")
    >>> embeddings = random.normal(size=(120, 16)) + 3 * (subjects % 2)[:, None]
    >>> frame = facefold.cross_validate(embeddings, labels, subjects, heads=["linear"])
    >>> pooled = frame[frame.statistic == "pooled"].set_index("head")
    >>> pooled.accuracy.round(2).to_dict()
    {'linear': 1.0, 'majority': 0.5}
    """
    import pandas

    tasks = [task] if isinstance(task, str) else list(task)
    tasks = [name.replace("_", "-") for name in tasks]
    columns = _columns(labels, tasks)
    if subjects is not None:
        columns["subject"] = subjects
    if folds is not None:
        columns["fold"] = folds
    table, warnings = _facefold.cross_validate(
        _matrix("embeddings", embeddings),
        None if mirrored is None else _matrix("mirrored", mirrored),
        [(name, [_text(value) for value in values]) for name, values in columns.items()],
        {
            "tasks": tasks,
            "heads": [heads] if isinstance(heads, str) else list(heads),
            "settings": [f"{name}={_setting(value)}" for name, value in (settings or {}).items()],
            "protocol": protocol,
            "label_policy": label_policy,
            "age_groups": age_groups,
            "thresholds": [int(age) for age in thresholds],
            "seed": seed,
            "seeds": seeds,
            "threads": threads,
            "out": None if out is None else os.fspath(out),
        },
    )
    frame = pandas.DataFrame(json.loads(table))
    frame = frame.rename(columns=lambda name: name.replace("-", "_"))
    frame = frame.astype({"seed": "Int64", "train_rows": "Int64", "seconds": "float64"})
    frame.attrs["warnings"] = warnings
    return frame


def _columns(labels: Any, tasks: list[str]) -> dict[str, Iterable[Any]]:
    """The columns of labels by their names."""
    if hasattr(labels, "keys"):
        return {str(name): labels[name] for name in labels.keys()}
    unknown = [name for name in tasks if name not in LABELS]
    if unknown:
        raise ValueError(f"task: expected `gender`, `age-group`, `age` or `class`, found `{unknown[0]}`")
    if len({LABELS[name] for name in tasks}) != 1:
        raise ValueError(f"labels: expected columns by their names for the tasks {', '.join(tasks)}, found one list")
    return {LABELS[tasks[0]]: labels}


def _matrix(name: str, values: Any) -> tuple[int, int, bytes]:
    """Rows, columns, and the values as float32."""
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected a matrix of numbers (rows, values), found {array.dtype} of shape {array.shape}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    return array.shape[0], array.shape[1], array.tobytes()


def _text(value: Any) -> str:
    """A label as a list of labels has it; empty where it is not known."""
    if value is None or value != value or type(value).__name__ == "NAType":
        return ""
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if math.isfinite(number) and number.is_integer() else repr(number)
    return str(value)


def _setting(value: Any) -> str:
    """The value of a setting as ``--set`` takes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return ",".join(_setting(part) for part in value)
    return json.dumps(value)
