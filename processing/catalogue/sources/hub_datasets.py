"""Datasets with the posters in them: saved ones, Parquet, WebDataset tars, the Hub's."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    Image,
    List,
    Value,
    concatenate_datasets,
    load_dataset,
    load_from_disk,
)

from .columns import KNOWN_COLUMNS, plain_name
from .rows import LAYOUTS, ROW_NUMBER, CatalogueError, Row, Source, find_columns

DATASET_SUFFIXES = (".parquet", ".tar")
SAVED = ("dataset_dict.json", "state.json")
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}


def read_dataset(
    source: str, plot_columns: Sequence[str] | None, image_column: str | None, need_plots: bool = True
) -> Source:
    """Returns what `datasets` reads: from disk, from a file or a folder of files, or from the Hub.

    Args:
        source: a path, or a name on the Hub.
        plot_columns: the columns to take as plots.
        image_column: the column of the posters; a list of them is a movie with several.
        need_plots: whether a dataset without plots is refused.

    Raises:
        CatalogueError: it cannot be loaded, a split is empty or has other columns, or no column holds posters.
    """
    splits, given = _load(source)
    features = next(iter(splits.values())).features
    for name, dataset in splits.items():
        if not len(dataset):
            raise CatalogueError(f"split {name!r} of {source} is empty")
        if set(dataset.features) != set(features):
            raise CatalogueError(f"split {name!r} of {source} has other columns: {', '.join(dataset.features)}")
    poster = find_image_column(features, image_column)
    rows: list[Row] = []
    images: list[Dataset] = []
    for name, dataset in splits.items():
        fields = dataset.remove_columns([column for column in features if _holds_bytes(features[column])])
        posters, of = _posters(dataset, poster)
        images.append(posters)
        named = [row_fields(row, features) for row in fields] if len(fields.features) else [{} for _ in dataset]
        rows += [Row(f"{name}[{index}]", named[index], split=name if given else None) for index in of]
    names = list(dict.fromkeys(column for row in rows for column in row.fields))
    columns = find_columns([name for name in names if name != poster], plot_columns, need_plots=need_plots)
    if not columns["id"]:
        columns.by_field["id"] = [ROW_NUMBER]
        for number, row in enumerate(rows):
            row.fields[ROW_NUMBER] = str(number)
    columns.by_field["image"] = [poster]
    return Source(rows, concatenate_datasets(images), columns)


def row_fields(row: dict[str, Any], features: Features) -> dict[str, Any]:
    """Returns the fields of a row, with the names of classes for their numbers and the fields of a column `json`."""
    fields = {name: class_names(value, features[name]) for name, value in row.items()}
    inner = fields.pop("json", None)
    return fields | (inner if isinstance(inner, dict) else {})


def class_names(value: Any, feature: Any) -> Any:
    """Returns the value with the names of its classes for their numbers; -1 is a class that nobody knows."""
    if isinstance(value, list):
        return [class_names(item, getattr(feature, "feature", None)) for item in value]
    if isinstance(feature, ClassLabel) and value is not None:
        return None if value == -1 else feature.int2str(value)
    return value


def find_image_column(features: Features, wanted: str | None = None) -> str:
    """Returns the column of posters: the wanted one, the only one of type Image, or one with a known name.

    Raises:
        CatalogueError: there is none, or the wanted one holds no posters.
    """
    holding = [name for name, feature in features.items() if _holds_bytes(feature)]
    if wanted is not None:
        if wanted in holding:
            return wanted
        problem = "holds no images" if wanted in features else "is missing"
        raise CatalogueError(f"the column of posters {wanted} {problem}; columns: {', '.join(features)}")
    typed = [name for name in holding if "Image(" in repr(features[name])]
    order = [plain_name(name) for name in KNOWN_COLUMNS["image"]]
    known = sorted(
        (name for name in typed or holding if plain_name(name) in order), key=lambda name: order.index(plain_name(name))
    )
    found = typed if len(typed) == 1 else known
    if not found:
        raise CatalogueError(
            "no column of posters (of type Image, or bytes under a known name); "
            f"name it by image_column; columns: {', '.join(features)}"
        )
    return found[0]


def _holds_bytes(feature: Any) -> bool:
    """Returns whether a column holds images: as such, as bytes, as {"bytes", "path"}, or a list of these."""
    if isinstance(feature, List):
        return _holds_bytes(feature.feature)
    if isinstance(feature, dict):
        return "bytes" in feature
    return isinstance(feature, Image) or (isinstance(feature, Value) and "binary" in feature.dtype)


def _load(source: str) -> tuple[DatasetDict, bool]:
    """Returns the splits of a dataset, and whether the source itself says that there are splits."""
    path = Path(source)
    from_disk = any((path / name).is_file() for name in SAVED)
    try:
        for state in path.glob("**/state.json") if from_disk else ():
            if not json.loads(state.read_text(encoding="utf-8"))["_data_files"]:  # `datasets` trips over it
                raise CatalogueError(f"split {state.parent.name!r} of {source} is empty")
        if from_disk:
            data = load_from_disk(source)
        elif path.is_file():
            data = load_dataset(_BUILDERS[path.suffix.lower()], data_files=source)
        else:
            data = load_dataset(source)
    except CatalogueError:
        raise
    except Exception as error:  # every builder has its own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        what = "is no dataset that can be loaded" if path.exists() else "is neither a folder nor, on the Hub, a dataset"
        raise CatalogueError(f"{source} {what} ({reason}); {LAYOUTS}") from error
    splits = data if isinstance(data, DatasetDict) else DatasetDict(train=data)
    # load_dataset calls rows that nobody has split "train".
    return splits, isinstance(data, DatasetDict) and (from_disk or list(data) != ["train"])


def _posters(dataset: Dataset, column: str) -> tuple[Dataset, list[int]]:
    """Returns the posters of a column, not decoded, and the row that each belongs to; a row without any has None."""
    images = dataset.select_columns(column)
    images = images if column == "image" else images.rename_column(column, "image")
    feature = images.features["image"]
    if not isinstance(feature, List):
        return images.cast_column("image", Image(decode=False)), [*range(len(images))]
    lists = images.with_format("arrow")[:].column("image").combine_chunks()
    rows = pc.list_parent_indices(lists).to_pylist()
    item = Features(image=Image(decode=False) if isinstance(feature.feature, Image) else feature.feature)
    posters = Dataset(pa.table({"image": pc.list_flatten(lists)}).cast(item.arrow_schema))
    posters = posters.cast_column("image", Image(decode=False))
    if empty := sorted(set(range(len(images))) - set(rows)):
        none = Dataset.from_dict({"image": [None] * len(empty)}, Features(image=Image(decode=False)))
        posters = concatenate_datasets([posters, none])
    return posters, rows + empty
