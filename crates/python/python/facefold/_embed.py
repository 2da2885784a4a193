"""Embeddings of pictures."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _facefold, _pictures

if TYPE_CHECKING:
    from ._pictures import Pictures

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Rejection:
    """Why a picture has no embedding."""

    reason: str
    """The kind: ``no-face``, ``low-score``, ``too-small``, ``undecodable``, ..."""
    detail: str
    """What exactly was found."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The faces of pictures: row ``i`` of every array is of one face, in the order of the pictures.

    >>> import numpy as np
    >>> import facefold
    >>> grey = np.full((2, 112, 112, 3), 128, dtype=np.uint8)
    >>> faces = facefold.embed(grey, model="untrained", aligned=True)
    >>> faces.embeddings.shape, faces.embeddings.dtype
    ((2, 512), dtype('float32'))
    >>> faces.pictures
    array([0, 1])
    >>> faces.rejected
    {}
    """

    embeddings: Floats
    """(faces, values): the network's last layer, not normalised; the bits that ``facefold extract`` stores."""
    pictures: Integers
    """(faces,): the number of the picture, from 0. A picture without a face has no row: index labels with it."""
    face_indices: Integers
    """(faces,): 0 for the main face of its picture."""
    bounding_boxes: Floats
    """(faces, 4): left, top, right, bottom in pixels of the upright picture."""
    landmarks: Floats
    """(faces, 5, 2): x, y of left eye, right eye, nose, left and right corner of the mouth; left is the viewer's."""
    scores: Floats
    """(faces,): the detector's score in [0, 1]; 1 where nothing was detected."""
    norms: Floats
    """(faces,): the norm of each embedding, a measure of the picture's quality."""
    rejected: dict[int, Rejection] = field(repr=False)
    """The pictures without a face, by their numbers."""
    fingerprint: str = field(repr=False)
    """What determines an embedding. Embeddings of two fingerprints cannot be compared."""

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.embeddings)


class Embedder:
    """The networks of a model pack, ready to run.

    :param model: ``buffalo_s``, ``buffalo_l`` or ``untrained``. Missing weights are fetched.
    :param aligned: Skip detection: every picture is an aligned crop.
    :param faces: ``main``, or ``all`` faces of each picture, the main one first.
    :param precision: Arithmetic of the CPU engine: ``f32``, ``bf16x3`` or ``bf16``; by default the fastest that
        stays within 1e-6 of f32.
    :param device: ``cpu`` (the CPU engine), ``candle``, ``cuda:0`` or ``metal``.
    :param offline: Never fetch weights.
    :param threads: 0 takes all cores.
    :raises ValueError: An unknown model, device or precision.
    :raises RuntimeError: Weights that cannot be had.

    >>> import facefold
    >>> embedder = facefold.Embedder("untrained")
    >>> embedder
    Embedder('untrained')
    >>> embedder.embedding_length
    512
    >>> facefold.Embedder("buffalo_x")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """

    def __init__(
        self,
        model: str = "buffalo_s",
        *,
        aligned: bool = False,
        faces: str = "main",
        precision: str | None = None,
        device: str = "cpu",
        offline: bool = False,
        threads: int = 0,
    ) -> None:
        self.model = model
        self.threads = threads
        self._extractor = _facefold.Extractor(
            model,
            precision=precision,
            device=device,
            offline=offline,
            aligned=aligned,
            all_faces=_pictures.wants_all(faces),
        )

    def __repr__(self) -> str:
        return f"Embedder({self.model!r})"

    @property
    def fingerprint(self) -> str:
        """What determines an embedding: a store with another fingerprint cannot be compared."""
        return self._extractor.fingerprint

    @property
    def embedding_length(self) -> int:
        """Values of an embedding."""
        return self._extractor.embedding_length

    def embed(self, pictures: Pictures) -> Embeddings:
        """Embed one picture or several; those of a generator are taken some at a time.

        :param pictures: NumPy arrays of uint8 RGB values (height, width, 3), PIL images, paths or bytes of files.
        :raises FileNotFoundError: A path that is not there.
        :raises ValueError: An array that is no picture. A picture without a face is in
            :attr:`Embeddings.rejected`.
        """
        rejected: dict[int, Rejection] = {}
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for first, batch in _pictures.batches(pictures):
            found = self._extractor.embed(batch, self.threads)
            rejected.update((first + number, Rejection(reason, detail)) for number, reason, detail in found["rejected"])
            columns["pictures"].append(np.asarray(found["pictures"], dtype=np.int64) + first)
            columns["face_indices"].append(np.asarray(found["face_indices"], dtype=np.int64))
            columns["embeddings"].append(_pictures.floats(found["embeddings"], -1, self.embedding_length))
            columns["bounding_boxes"].append(_pictures.floats(found["bounding_boxes"], -1, 4))
            columns["landmarks"].append(_pictures.floats(found["landmarks"], -1, 5, 2))
            columns["scores"].append(_pictures.floats(found["scores"], -1))
            columns["norms"].append(_pictures.floats(found["norms"], -1))
        empty = {
            "embeddings": (0, self.embedding_length),
            "bounding_boxes": (0, 4),
            "landmarks": (0, 5, 2),
        }
        joined = {
            name: np.concatenate(parts) if parts else np.empty(empty.get(name, (0,)), dtype=COLUMNS[name])
            for name, parts in columns.items()
        }
        return Embeddings(**joined, rejected=rejected, fingerprint=self.fingerprint)


COLUMNS: dict[str, type[np.generic]] = {
    "embeddings": np.float32,
    "pictures": np.int64,
    "face_indices": np.int64,
    "bounding_boxes": np.float32,
    "landmarks": np.float32,
    "scores": np.float32,
    "norms": np.float32,
}


def embed(
    pictures: Pictures,
    *,
    model: str = "buffalo_s",
    aligned: bool = False,
    faces: str = "main",
    precision: str | None = None,
    device: str = "cpu",
    offline: bool = False,
    threads: int = 0,
) -> Embeddings:
    """Embed one picture or several.

    The parameters are those of :class:`Embedder`, and the networks of the last two calls are kept.

    :raises FileNotFoundError: A path that is not there.
    :raises ValueError: An array that is no picture, or an unknown option.

    >>> import numpy as np
    >>> import facefold
    >>> crop = np.zeros((112, 112, 3), dtype=np.uint8)
    >>> facefold.embed(crop, model="untrained", aligned=True).bounding_boxes
    array([[  0.,   0., 112., 112.]], dtype=float32)
    >>> facefold.embed("missing.jpg", model="untrained")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.jpg'
    """
    return _embedder(model, aligned, faces, precision, device, offline, threads).embed(pictures)


@functools.lru_cache(maxsize=2)
def _embedder(
    model: str, aligned: bool, faces: str, precision: str | None, device: str, offline: bool, threads: int
) -> Embedder:
    return Embedder(
        model,
        aligned=aligned,
        faces=faces,
        precision=precision,
        device=device,
        offline=offline,
        threads=threads,
    )
