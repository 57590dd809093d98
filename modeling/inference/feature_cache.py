"""Features of frozen encoders on disk: a poster or plot is encoded once, whatever the number of epochs and runs.

    FOLDER/<what computes the features>/<what the file holds>.arrow

The folder's name is a hash of all that a feature depends on beside its poster or plot: weights, settings, dtype,
device and threads, library versions. A file's name is the hash of its bytes. So features of another encoder are never
found, a file that is damaged or half-written does not match its name, and runs that fill one cache at the same time
write files of their own. Files are whole or absent: they are written under another name first.
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter
from torch import Tensor
from transformers import PreTrainedModel

# Another one where this project makes other features of the same poster or plot.
FORMAT = 1
ROWS_PER_FILE = 1024
ABANDONED_AFTER = 24 * 3600  # seconds

logger = logging.getLogger(__name__)


class FeatureCache:
    """Features of one frozen encoder, by the hash of the poster or plot.

    Args:
        folder: of all caches.
        encoder: the encoder, frozen and in eval.
        settings: what else decides about a feature: pooling, and what turns a poster or plot into tensors.
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
        self.folder = Path(folder) / _encoder_key(encoder, settings, dtype)

    def features(self, keys: Sequence[str], encode: Callable[[list[int]], Tensor]) -> Tensor:
        """The feature of each row, from the cache or from `encode`, which also fills it: (rows, feature), float32.

        Args:
            keys: a hash of each row's content.
            encode: given indices of rows, their features, (rows, feature).

        Raises:
            OSError: a file cannot be written, for instance on a full disk. Files written before it stay good.
        """
        found = self._read(set(keys))
        found.update(self._add(_missing(keys, found), encode))
        return torch.stack([found[key] for key in keys])

    def fill(self, keys: Sequence[str], encode: Callable[[list[int]], Tensor], process: int, processes: int) -> None:
        """Encode one of several processes' share of what is missing; afterwards `features` finds that of all."""
        missing = _missing(keys, self._read(set(keys)))
        self._add(dict(list(missing.items())[process::processes]), encode)

    def _add(self, rows: dict[str, int], encode: Callable[[list[int]], Tensor]) -> dict[str, Tensor]:
        added: dict[str, Tensor] = {}
        keys = list(rows)
        for start in range(0, len(keys), ROWS_PER_FILE):
            part = keys[start : start + ROWS_PER_FILE]
            features = encode([rows[key] for key in part])
            self._write(part, features)
            added.update(zip(part, features, strict=True))
        return added

    def _read(self, wanted: set[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for file in sorted(self.folder.glob("*.arrow")):
            if _hash(file) != file.stem:
                logger.warning("%s is damaged: its features are computed again.", file)
                with suppress(OSError):
                    file.unlink()
                continue
            rows = Dataset.from_file(str(file)).with_format("torch")
            pairs = zip(rows["key"][:], rows["feature"][:], strict=True)
            found.update((key, feature) for key, feature in pairs if key in wanted)
        return found

    def _write(self, keys: list[str], features: Tensor) -> None:
        schema = Features(key=Value("string"), feature=List(Value("float32"), length=features.shape[1]))
        part = self.folder / f"{uuid.uuid4()}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            with ArrowWriter(path=str(part), features=schema) as writer:
                writer.write_batch({"key": keys, "feature": features.numpy()})
                writer.finalize()
            part.replace(self.folder / f"{_hash(part)}.arrow")
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise OSError(f"The feature cache {self.folder} cannot be written: {error}") from error

    def _remove_abandoned(self) -> None:
        for part in self.folder.glob("*.partial"):
            with suppress(FileNotFoundError):  # another run has finished it meanwhile
                if time.time() - part.stat().st_mtime > ABANDONED_AFTER:
                    part.unlink()


def _encoder_key(encoder: PreTrainedModel, settings: Sequence[str], dtype: torch.dtype) -> str:
    config = encoder.config.to_dict()
    for about_files in ("_name_or_path", "name_or_path", "transformers_version", "dtype", "architectures"):
        config.pop(about_files, None)
    versions = [str(FORMAT), *map(version, ("pillow", "tokenizers", "torch", "transformers"))]
    device = [encoder.device.type, torch.get_float32_matmul_precision()]
    if encoder.device.type == "cpu":  # where a sum is split among threads it rounds otherwise
        device += [torch.backends.cpu.get_cpu_capability(), str(torch.get_num_threads())]
    about = [config, *settings, str(dtype), *versions, *device]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    add_weights(digest, encoder)
    return digest.hexdigest()


def add_weights(digest: "hashlib._Hash", model: PreTrainedModel) -> None:
    """Make a hash depend on a model's weights, their names, types and shapes."""
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())


def _missing(keys: Sequence[str], found: Container[str]) -> dict[str, int]:
    missing: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key not in found:
            missing.setdefault(key, row)
    return missing


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
