"""Pictures as the compiled module takes them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Union

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

    Picture = Union["np.ndarray[Any, Any]", PIL.Image.Image, "str | os.PathLike[str]", bytes]
    """A picture: uint8 values of shape (height, width, 3), a PIL image, a path, or the bytes of a file."""
    Pictures = Union[Picture, Iterable[Picture]]
    """One picture, or several."""

# Most pictures, and most bytes of pixels, that one call is given: the pictures of a generator need not
# be in memory together.
BATCH = 64
BATCH_BYTES = 1 << 28

# PIL's modes with 8 bits a channel whose RGB is what facefold decodes: alpha is dropped.
PIL_MODES = frozenset(["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"])


def batches(pictures: Pictures) -> Iterator[tuple[int, list[Any]]]:
    """Some pictures at a time, as the compiled module takes them, with the number of the first."""
    first, batch, size = 0, [], 0
    for number, picture in enumerate(each(pictures)):
        taken = prepared(picture, number)
        batch.append(taken)
        size += len(taken[2]) if isinstance(taken, tuple) else 0
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield first, batch
            first, batch, size = first + len(batch), [], 0
    if batch:
        yield first, batch


def each(pictures: Pictures) -> Iterable[Picture]:
    """The pictures; one that stands alone is a list of one."""
    if isinstance(pictures, np.ndarray):
        return pictures if pictures.ndim == 4 or pictures.dtype == object else [pictures]
    if isinstance(pictures, (str, bytes, os.PathLike)) or is_pil(pictures):
        return [pictures]
    return pictures


def prepared(picture: Any, number: int) -> str | bytes | tuple[int, int, bytes]:
    """A path, the bytes of a file, or width, height and the values of the pixels."""
    if isinstance(picture, np.ndarray):
        return of_array(picture, number)
    if is_pil(picture):
        return of_pil(picture, number)
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, (str, os.PathLike)):
        path = os.fsdecode(picture)
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "expected a picture, found a directory; list its files", path)
        return path
    raise TypeError(
        f"picture {number}: expected a NumPy array, a PIL image, a path or bytes, found {type(picture).__name__}"
    )


def of_array(picture: np.ndarray[Any, Any], number: int) -> tuple[int, int, bytes]:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ValueError(
            f"picture {number}: expected uint8 values of shape (height, width, 3) in RGB, found {picture.dtype} of "
            f"shape {picture.shape}"
        )
    height, width, _ = picture.shape
    return width, height, np.ascontiguousarray(picture).tobytes()


def is_pil(picture: Any) -> bool:
    """Whether it is a PIL image, which is never so before PIL was imported."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(picture, pil.Image)


def of_pil(picture: PIL.Image.Image, number: int) -> tuple[int, int, bytes]:
    """The pixels upright, as a file's are: PIL leaves the EXIF orientation to its user."""
    from PIL import ImageOps

    if picture.mode not in PIL_MODES:
        raise ValueError(
            f"picture {number}: expected a PIL image of mode {', '.join(sorted(PIL_MODES))}, found {picture.mode}; "
            "convert it to RGB first"
        )
    upright = ImageOps.exif_transpose(picture)
    pixels = (upright or picture).convert("RGB")
    return pixels.width, pixels.height, pixels.tobytes()


def wants_all(faces: str) -> bool:
    """Whether all faces are wanted, by the name that the program has for it."""
    if faces not in ("main", "all"):
        raise ValueError(f"faces: expected 'main' or 'all', found {faces!r}")
    return faces == "all"


def floats(data: bytearray, *shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The values of float32 bytes."""
    if not data:
        return np.empty([max(length, 0) for length in shape], dtype=np.float32)
    return np.frombuffer(data, dtype=np.float32).reshape(shape)
