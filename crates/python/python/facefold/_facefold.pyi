"""The compiled module. Arguments were checked and turned into bytes and texts by the Python modules."""

from typing import Any

__version__: str

Matrix = tuple[int, int, bytes]

class Extractor:
    def __new__(
        cls,
        model: str,
        *,
        precision: str | None,
        device: str,
        offline: bool,
        aligned: bool,
        all_faces: bool,
    ) -> Extractor: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def embedding_length(self) -> int: ...
    def embed(self, pictures: list[Any], threads: int) -> dict[str, Any]: ...

class Bundle:
    def __new__(cls, path: str | None, *, precision: str | None, device: str, offline: bool) -> Bundle: ...
    def card(self) -> str: ...
    def predict(
        self, pictures: list[Any], aligned: bool, all_faces: bool, asked_threads: int
    ) -> list[tuple[int, str]]: ...

class Store:
    def __new__(cls, directory: str) -> Store: ...
    def __len__(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def has_taps(self) -> bool: ...
    def matrix(self, features: str, mirrored: bool) -> tuple[int, bytearray]: ...
    def columns(self) -> dict[str, list[Any]]: ...

def cross_validate(
    embeddings: Matrix,
    mirrored: Matrix | None,
    labels: list[tuple[str, list[str]]],
    options: dict[str, Any],
) -> tuple[str, list[str]]: ...
