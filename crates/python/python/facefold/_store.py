"""Stores as arrays and data frames."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _facefold, _pictures

if TYPE_CHECKING:
    import pandas


class Store:
    """A store of embeddings, which ``facefold extract`` or ``facefold store import`` writes.

    Row ``i`` of :meth:`to_numpy` and of :meth:`to_pandas` is of one label row with an embedding, in the
    order of the labels.

    :param directory: The store's directory, or its address on object storage (``s3://bucket/prefix``).
    :raises FileNotFoundError: A directory that is not there.
    :raises ValueError: A directory that is no store, or a store without label rows.

    >>> import facefold
    >>> facefold.Store("missing")
    Traceback (most recent call last):
        ...
    FileNotFoundError: expected the directory of a store, found nothing at `missing`
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.fspath(directory)
        self._store = _facefold.Store(self.directory)

    def __repr__(self) -> str:
        return f"Store({self.directory!r})"

    def __len__(self) -> int:
        """Number of label rows with an embedding."""
        return len(self._store)

    @property
    def fingerprint(self) -> str:
        """What determines an embedding. Embeddings of two fingerprints cannot be compared."""
        return self._store.fingerprint

    @property
    def model(self) -> str:
        """The model pack, or the network that another program ran."""
        return self._store.model

    @property
    def has_taps(self) -> bool:
        """Whether it has pooled intermediate features."""
        return self._store.has_taps

    def to_numpy(self, features: str = "embedding", *, mirrored: bool = False) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The features of all rows, (rows, values).

        :param features: ``embedding``, ``taps`` or ``both``.
        :param mirrored: Those of the mirrored crops, where the store has them.
        :raises ValueError: Features that the store does not have.
        """
        width, values = self._store.matrix(features, mirrored)
        return _pictures.floats(values, len(self), width)

    def to_pandas(self, *, embeddings: bool = False) -> pandas.DataFrame:
        """Labels and quality measures of all rows; needs pandas.

        ==============================  ================================================================
        ``path``                        the picture, relative to its data set
        ``key``                         blake3 of the picture's bytes
        ``subject``                     who it is, where the data set names them
        ``fold``, ``split``             published fold and split
        ``gender``, ``age``             as in the label file; ``age`` is text: ``35``, ``(25, 32)``
        ``race``, ``class``             as in the label file
        ``label_conflict``              whether identical pictures have labels that disagree
        ``faces_found``                 faces in the picture
        ``norm``                        of the embedding
        ``score``                       the detector's, in [0, 1]
        ``luminance``, ``sharpness``    of the aligned crop
        ``left`` ... ``bottom``         the face's box in pixels of the upright picture
        ``embedding_0`` ...             the embedding's values, with ``embeddings=True``
        ==============================  ================================================================

        :param embeddings: Add a column for each value of the embedding.
        :raises ImportError: pandas is not installed.
        """
        import pandas

        columns = self._store.columns()
        frame = pandas.DataFrame({name: pandas.Series(values, dtype=_dtype(name)) for name, values in columns.items()})
        if embeddings:
            values = self.to_numpy()
            names = [f"embedding_{place}" for place in range(values.shape[1])]
            frame = pandas.concat([frame, pandas.DataFrame(values, columns=names)], axis=1)
        return frame


def _dtype(column: str) -> str:
    """The type of a column, also where no row has a value."""
    if column in ("norm", "score", "luminance", "sharpness", "left", "top", "right", "bottom"):
        return "float32"
    return {"fold": "Int64", "faces_found": "int64", "label_conflict": "bool"}.get(column, "object")
