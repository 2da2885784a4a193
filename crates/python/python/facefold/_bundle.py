"""Predictions with a bundle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _facefold, _pictures

if TYPE_CHECKING:
    from ._pictures import Pictures


@dataclass(frozen=True)
class ClassPrediction:
    """The most probable class, of equally probable ones the first."""

    label: str
    """Its name."""
    probability: float
    """Its calibrated probability."""
    probabilities: dict[str, float]
    """That of every class, in the bundle's order."""
    uncertainty: float
    """Normalised entropy: 0 for one class of probability 1, 1 for equal probabilities."""


@dataclass(frozen=True)
class Familiarity:
    """How similar a face is to those that the bundle was trained on."""

    score: float
    """Fraction of held-out training faces that are less familiar: 0.5 for the usual face."""
    distance: float
    """0 in the midst of the training faces, 1 where a face becomes unfamiliar."""
    unfamiliar: bool
    """Whether predictions for the face should not be relied on."""


@dataclass(frozen=True)
class ThresholdDecision:
    """The decision at an age threshold."""

    age: int
    """The threshold in years."""
    decision: str
    """``over``, ``under`` or ``undecided``."""
    probability_over: float | None
    """Probability of being that old, where the head predicts a distribution."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a bundle predicts for a face; the fields are those of the program's JSON.

    ``None`` stands for what the bundle has no head for, and for everything of a picture without a face.
    """

    picture: int
    """The number of the picture, from 0."""
    path: str | None
    """Its path, where it was given by one."""
    status: str
    """``ok``, or why there is no prediction: ``no-face``, ``undecodable``, ..."""
    detail: str | None
    """What exactly was wrong with a rejected picture."""
    bundle: str
    """The bundle."""
    face_index: int
    """0 for the main face."""
    faces_found: int
    """Number of faces found in the picture."""
    bounding_box: tuple[float, float, float, float] | None
    """Left, top, right, bottom in pixels of the upright picture."""
    landmarks: tuple[tuple[float, float], ...] | None
    """x, y of left eye, right eye, nose, left and right corner of the mouth in pixels of the upright picture; left is
    the viewer's. Of an aligned crop where a crop has them."""
    score: float | None
    """The detector's score in [0, 1]; 1 where no face was looked for."""
    norm: float | None
    """Norm of the embedding."""
    familiarity: Familiarity | None
    """How similar the face is to the training faces."""
    gender: ClassPrediction | None
    age_group: ClassPrediction | None
    age: float | None
    """Years."""
    age_low: float | None
    """Lower end of the interval that holds eight of ten true ages."""
    age_high: float | None
    """Its upper end."""
    age_mc_dropout_uncertainty: float | None
    """Standard deviation by Monte-Carlo dropout, in years, for heads that estimate it."""
    age_uncertainty: float | None
    """Standard deviation of the predicted age distribution, in years."""
    age_distribution: np.ndarray[Any, np.dtype[np.float32]] | None = field(repr=False)
    """Probabilities of the ages 0, 1, 2, ... years."""
    thresholds: list[ThresholdDecision]
    """Decisions at the age thresholds of the bundle, ascending."""
    class_: ClassPrediction | None
    """The folder's name, for a bundle that was trained on folders (``class`` in JSON)."""
    _json: dict[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The prediction as ``facefold predict --format json`` prints it."""
        return dict(self._json)


class Bundle:
    """A trained bundle, which ``facefold train`` writes; without a path the embedded one.

    :param path: The bundle's file.
    :param precision: Arithmetic of the CPU engine, of the bundle's precision class.
    :param device: ``cpu`` (the CPU engine), ``candle``, ``cuda:0`` or ``metal``.
    :param offline: Never fetch weights.
    :param threads: 0 takes all cores.
    :raises FileNotFoundError: A path that is not there.
    :raises ValueError: A file that is no bundle.

    >>> import facefold
    >>> bundle = facefold.Bundle()
    >>> bundle.tasks
    ['gender', 'age', 'age-group']
    >>> bundle.card["model"]
    'buffalo_s'
    >>> facefold.Bundle("missing.facefold")
    Traceback (most recent call last):
        ...
    FileNotFoundError: ...
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        precision: str | None = None,
        device: str = "cpu",
        offline: bool = False,
        threads: int = 0,
    ) -> None:
        self.path = None if path is None else os.fspath(path)
        self.threads = threads
        self._bundle = _facefold.Bundle(self.path, precision=precision, device=device, offline=offline)

    def __repr__(self) -> str:
        return f"Bundle({'' if self.path is None else repr(self.path)})"

    @property
    def card(self) -> dict[str, Any]:
        """What it was trained on, what it scored, and what it must not be used for."""
        return json.loads(self._bundle.card())

    @property
    def tasks(self) -> list[str]:
        """What it predicts: ``gender``, ``age``, ``age-group``, ``class``."""
        return [task["task"] for task in self.card["tasks"]]

    def predict(self, pictures: Pictures, *, aligned: bool = False, faces: str = "main") -> list[Prediction]:
        """Predict for one picture or several: one prediction a picture, or with ``faces="all"`` one a face.

        :param pictures: NumPy arrays of uint8 RGB values (height, width, 3), PIL images, paths or bytes of files.
        :param aligned: Skip detection: every picture is an aligned crop.
        :param faces: ``main``, or ``all`` faces of each picture, the main one first.
        :raises FileNotFoundError: A path that is not there.
        :raises ValueError: An array that is no picture; a bundle that needs other networks than can be run.
        :raises RuntimeError: Weights that cannot be had.
        """
        all_faces = _pictures.wants_all(faces)
        predictions = []
        for first, batch in _pictures.batches(pictures):
            found = self._bundle.predict(batch, aligned, all_faces, self.threads)
            for number, text in found:
                is_path = isinstance(batch[number], str)
                predictions.append(_prediction(first + number, is_path, json.loads(text)))
        return predictions


def _prediction(picture: int, is_path: bool, found: dict[str, Any]) -> Prediction:
    familiarity = found["familiarity"]
    box, landmarks, distribution = found["bounding_box"], found["landmarks"], found["age_distribution"]
    return Prediction(
        picture=picture,
        path=found["path"] if is_path else None,
        status=found["status"],
        detail=found["detail"],
        bundle=found["bundle"],
        face_index=found["face_index"],
        faces_found=found["faces_found"],
        bounding_box=None if box is None else tuple(box),
        landmarks=None if landmarks is None else tuple((x, y) for x, y in landmarks),
        score=found["score"],
        norm=found["norm"],
        familiarity=None if familiarity is None else Familiarity(**familiarity),
        gender=_class(found["gender"]),
        age_group=_class(found["age_group"]),
        age=found["age"],
        age_low=found["age_low"],
        age_high=found["age_high"],
        age_mc_dropout_uncertainty=found["age_mc_dropout_uncertainty"],
        age_uncertainty=found["age_uncertainty"],
        age_distribution=None if distribution is None else np.array(distribution, dtype=np.float32),
        thresholds=[ThresholdDecision(**decision) for decision in found["thresholds"]],
        class_=_class(found["class"]),
        _json=found,
    )


def _class(found: dict[str, Any] | None) -> ClassPrediction | None:
    if found is None:
        return None
    return ClassPrediction(**{**found, "probabilities": dict(found["probabilities"])})
