"""A cache of features of frozen encoders: each poster and text is encoded once, whatever the number of epochs and runs.

A cache is an SQLite file, `FOLDER/<key of the encoder>.sqlite`. The key is a hash of everything that a feature depends
on beside its poster or text: weights, settings, dtype, kind of device, library versions. So features of another encoder
are never found. Several runs may fill one cache at a time, a run that is killed leaves a whole file, and a row that
does not match its checksum is encoded again.
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

# Raised when this project makes other features of the same poster or text.
FORMAT = 2
ROWS_PER_WRITE = 1024
KEYS_PER_QUERY = 500
TIMEOUT = 60  # seconds that a run waits for another one's write

logger = logging.getLogger(__name__)

Encode = Callable[[list[int]], Tensor]


class FeatureCache:
    """Features of one frozen encoder, found by the hash of the poster or text.

    Args:
        folder: holds all caches.
        encoder: the encoder, frozen and in eval.
        settings: what else decides about a feature: pooling, and what turns a poster or text into tensors.
        dtype: what the encoder computes in.

    Raises:
        ValueError: the encoder trains or has dropout on, so its features would be out of date as soon as they are
            written.

    Example:
        >>> import tempfile
        >>> from transformers import ViTConfig, ViTModel
        >>> small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
        >>> encoder = ViTModel(ViTConfig(**small)).requires_grad_(False).eval()
        >>> cache = FeatureCache(tempfile.mkdtemp(), encoder, ["mean"], torch.float32)
        >>> cache.features(["a", "b", "a"], lambda rows: torch.tensor([[float(row)] for row in rows])).tolist()
        [[0.0], [1.0], [0.0]]
        >>> cache.features(["b"], lambda rows: torch.zeros(0)).tolist()
        [[1.0]]
    """

    def __init__(
        self, folder: Path | str, encoder: PreTrainedModel, settings: Sequence[str], dtype: torch.dtype
    ) -> None:
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                raise ValueError(f"Features of a {encoder.config.model_type!r} that trains ({name}) cannot be cached.")
        for name, module in encoder.named_modules():
            if module.training:
                raise ValueError(
                    f"Features of a {encoder.config.model_type!r} in training mode ({name or 'all of it'}) cannot be "
                    "cached: dropout would change them in every step. Put the encoder in eval."
                )
        self.file = Path(folder) / f"{_encoder_key(encoder, settings, dtype)}.sqlite"

    def features(self, keys: Sequence[str], encode: Encode) -> Tensor:
        """Returns the feature of each row, (rows, feature), float32, from the cache or from `encode`, which fills it.

        Args:
            keys: a hash of each row's content.
            encode: returns the features of the rows of these indices, (rows, feature).

        Raises:
            OSError: the file cannot be written, for instance on a full disk. What was written before stays good.
        """
        found = self._read(set(keys))
        found.update(self._add(_missing(keys, found), encode))
        return torch.stack([found[key] for key in keys])

    def fill(self, keys: Sequence[str], encode: Encode, process: int, processes: int) -> None:
        """Encode one of several processes' share of what is missing; afterwards `features` finds the rows of all."""
        missing = _missing(keys, self._read(set(keys)))
        self._add(dict(list(missing.items())[process::processes]), encode)

    def _add(self, rows: dict[str, int], encode: Encode) -> dict[str, Tensor]:
        added: dict[str, Tensor] = {}
        keys = list(rows)
        for start in range(0, len(keys), ROWS_PER_WRITE):
            part = keys[start : start + ROWS_PER_WRITE]
            features = encode([rows[key] for key in part])
            self._write(part, features)
            added.update(zip(part, features, strict=True))
        return added

    def _read(self, wanted: set[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if not self.file.is_file():
            return found
        keys = sorted(wanted)
        damaged = 0
        try:
            with closing(sqlite3.connect(self.file, TIMEOUT)) as database:
                if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'features'").fetchone():
                    return found
                for start in range(0, len(keys), KEYS_PER_QUERY):
                    part = keys[start : start + KEYS_PER_QUERY]
                    query = f"SELECT * FROM features WHERE key IN ({','.join('?' * len(part))})"
                    for key, feature, checksum in database.execute(query, part):
                        if checksum == _checksum(key, feature):
                            found[key] = torch.from_numpy(np.frombuffer(feature, np.float32).copy())
                        else:
                            damaged += 1
        except sqlite3.OperationalError as error:
            raise OSError(f"The feature cache {self.file} cannot be read: {error}") from error
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            logger.warning("%s is damaged (%s): its features are computed again.", self.file, error)
            self.file.unlink(missing_ok=True)
            return {}
        if damaged:
            logger.warning("%s has %d damaged rows: their features are computed again.", self.file, damaged)
        return found

    def _write(self, keys: list[str], features: Tensor) -> None:
        values = [np.ascontiguousarray(feature, np.float32).tobytes() for feature in features.numpy()]
        rows = [(key, value, _checksum(key, value)) for key, value in zip(keys, values, strict=True)]
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._writing() as database:
                database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)
        except (OSError, sqlite3.DatabaseError) as error:
            raise OSError(f"The feature cache {self.file} cannot be written: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.file, TIMEOUT)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, feature BLOB, checksum BLOB)")
            yield database


def add_weights(digest: "hashlib._Hash", model: PreTrainedModel) -> None:
    """Make a hash depend on a model's weights, their names, types and shapes."""
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())


def _encoder_key(encoder: PreTrainedModel, settings: Sequence[str], dtype: torch.dtype) -> str:
    config = encoder.config.to_dict()
    for about_files in ("_name_or_path", "name_or_path", "transformers_version", "dtype", "architectures"):
        config.pop(about_files, None)
    versions = [str(FORMAT), *map(version, ("pillow", "tokenizers", "torch", "transformers"))]
    device = [encoder.device.type, torch.get_float32_matmul_precision()]
    parts = [config, *settings, str(dtype), *versions, *device]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    add_weights(digest, encoder)
    return digest.hexdigest()


def _missing(keys: Sequence[str], found: Container[str]) -> dict[str, int]:
    missing: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key not in found:
            missing.setdefault(key, row)
    return missing


def _checksum(key: str, feature: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + feature, digest_size=8).digest()
