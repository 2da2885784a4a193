"""Age and gender from faces, from Python: the library of the ``facefold`` program, with the same bits.

========================================  ==========================================================
:func:`embed`, :class:`Embedder`          embeddings of pictures
:class:`Bundle`                           predictions with a trained bundle, or the embedded one
:class:`Store`                            a store of embeddings as arrays and data frames
:func:`cross_validate`                    compare heads on embeddings of any network
========================================  ==========================================================

Pictures are NumPy arrays, PIL images, paths, or the bytes of files. Work is done without the interpreter's lock, and Ctrl-C stops it. Notes on long
work (weights that are fetched, rows that are left out) go to the logger ``facefold`` at level INFO.
"""

from ._bundle import Bundle, ClassPrediction, Familiarity, Prediction, ThresholdDecision
from ._embed import Embedder, Embeddings, Rejection, embed
from ._evaluate import cross_validate
from ._facefold import __version__
from ._store import Store

__all__ = [
    "Bundle",
    "ClassPrediction",
    "Embedder",
    "Embeddings",
    "Familiarity",
    "Prediction",
    "Rejection",
    "Store",
    "ThresholdDecision",
    "__version__",
    "cross_validate",
    "embed",
]
