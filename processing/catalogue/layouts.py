"""The layouts of a catalogue, each read into rows as its files give them; `catalogue` checks them."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import ClassLabel, DatasetDict, Features, Image, concatenate_datasets, load_dataset, load_from_disk

from .ocr_lines import read_poster_text_file
from .rows import (
    CatalogueError,
    Row,
    Source,
    choose_plot_columns,
    locate_poster,
    poster_paths,
    read_rows,
    read_text_file,
)
from .titles import article_first

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SPLIT_FOLDERS = {
    *("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation", "extra")
}
FIELDS = ("id", "title", "year", "genres", "series", "split", "poster_text")
LAYOUTS = """known layouts:
  a folder with metadata.jsonl or metadata.csv (column file_name) and the posters, or such a folder per split
  the MovieLens layout: movies.dat, posters/ID.jpg, plots.txt, plots.dat or plots.csv, maybe train.txt
  (in both, what is printed on the posters may lie beside in poster_text.jsonl)
  what DatasetDict.save_to_disk wrote, or anything else that datasets.load_dataset reads"""


def read_source(source: str, plot_columns: Sequence[str] | None) -> Source:
    """Find out the layout and read it.

    Raises:
        CatalogueError: nothing is there, or it is in no known layout, or it has no rows.
    """
    root = Path(source).expanduser()
    if root.is_file():
        raise CatalogueError(f"{source} is a file; give the folder that it lies in")
    if not root.is_dir():
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or source.startswith("."):
            raise CatalogueError(f"no such folder: {source}")
        return _read_dataset(source, plot_columns)
    root = Path(os.path.realpath(root))
    if (root / "movies.dat").is_file():
        return _read_movielens(root, plot_columns)
    metadata = [path for pattern in ("metadata.*", "*/metadata.*") for path in sorted(root.glob(pattern))]
    metadata = [path for path in metadata if path.suffix in (".jsonl", ".csv")]
    if metadata:
        return _read_folder(root, metadata, plot_columns)
    if not any(path.suffix in (".arrow", ".parquet", ".json", ".jsonl", ".csv") for path in root.rglob("*")):
        raise CatalogueError(f"{source} is no catalogue; {LAYOUTS}")
    return _read_dataset(str(root), plot_columns)


def _read_folder(root: Path, metadata: list[Path], plot_columns: Sequence[str] | None) -> Source:
    """The imagefolder convention: a metadata file in the folder, or one in each split's folder.

    Several sub-folders with metadata are splits, each called as its folder; a lone one is a split only if its
    name is one of `SPLIT_FOLDERS`: `images/metadata.jsonl` says nothing about splits.
    """
    folders = [path.parent for path in metadata]
    subfolders = set(folders) - {root}
    splits = {folder for folder in subfolders if len(subfolders) > 1 or folder.name.lower() in SPLIT_FOLDERS}
    rows: list[Row] = []
    for path in metadata:
        if folders.count(path.parent) > 1:
            raise CatalogueError(f"{path.parent} holds metadata.jsonl and metadata.csv; keep one of them")
        for row in read_rows(path):
            row.where = f"{path.relative_to(root)} {row.where}"
            row.split = row.fields.get("split") or (path.parent.name if path.parent in splits else None)
            name = row.fields.get("file_name")
            if name and isinstance(name, str):
                row.fields.setdefault("id", Path(name).stem)
                row.poster = name
                locate_poster(row, root, path.parent / name)
            else:
                row.problem = row.problem or "no file_name"
            rows.append(row)
    columns = list(dict.fromkeys(column for row in rows for column in row.fields))
    if columns and "file_name" not in columns:
        raise CatalogueError(f"{metadata[0]} has no column file_name; its columns are {', '.join(columns)}")
    printed: dict[str, Any] = {}
    for folder in dict.fromkeys(folders):
        found, bad = read_poster_text_file(folder)
        printed |= found
        rows += bad
    return Source(rows, poster_paths(rows), choose_plot_columns(columns, plot_columns), poster_text=printed)


def _read_movielens(root: Path, plot_columns: Sequence[str] | None) -> Source:
    """The MovieLens layout. Ids in the plots or in train.txt that movies.dat does not have are bad rows."""
    folder = _poster_folder(root)
    posters = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
    plots = _movielens_plots(root)
    columns = list(dict.fromkeys(column for row in plots for column in row.fields if column != "id"))
    texts: dict[str, dict[str, list[str]]] = {}
    for row in plots:
        for column in row.fields.keys() - {"id"}:
            texts.setdefault(row.fields["id"], {}).setdefault(column, []).append(row.fields[column])
    train = read_text_file(root / "train.txt") if (root / "train.txt").is_file() else []
    for row in train:
        row.fields = {"id": row.fields["line"].strip()}
    train_ids = {row.fields["id"] for row in train}

    rows = read_text_file(root / "movies.dat")
    for row in rows:
        number, *parts = row.fields["line"].strip().split("::")
        row.fields = {"id": number}
        if train:
            row.split = "train" if number in train_ids else "test"
        if len(parts) < 2:
            row.problem = "not id::title::genres"
            continue
        title, year = _title_and_year("::".join(parts[:-1]))
        row.fields |= {"title": title, "year": year, "genres": parts[-1]} | texts.get(number, {})
        path = posters.get(number, folder / f"{number}.jpg")
        row.poster = f"{folder.name}/{path.name}"
        locate_poster(row, root, path)
        if number not in posters:
            row.problem = "no such file" if number in texts else "no such file, and no plot either"

    movies = {row.fields["id"] for row in rows}
    for row in [*plots, *train]:
        if not row.problem and row.fields["id"] not in movies:
            row.problem = "not in movies.dat"
    printed, bad = read_poster_text_file(root)
    rows += [row for row in [*plots, *train, *bad] if row.problem]
    return Source(rows, poster_paths(rows), choose_plot_columns(columns, plot_columns), "train.txt", printed)


def _title_and_year(text: str) -> tuple[str, str | None]:
    """Split "Femme Nikita, La (Nikita) (1990)" into "La Femme Nikita" and "1990"."""
    year = re.search(r"\((\d{4})\)\s*$", text)
    title = re.sub(r"(?<=\S)(\s*\([^()]*\))+\s*$", "", text)
    return article_first(title.strip()), year[1] if year else None


def _poster_folder(root: Path) -> Path:
    """`posters`, or else the one sub-folder with files named by number."""
    if (root / "posters").is_dir():
        return root / "posters"
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
    folders = [path for path in folders if any(re.fullmatch(r"\d+\.jpe?g", f.name.lower()) for f in path.iterdir())]
    if len(folders) != 1:
        found = ", ".join(path.name for path in folders) or "none"
        raise CatalogueError(f"{root} needs one folder of posters named ID.jpg, best named posters; found: {found}")
    return folders[0]


def _movielens_plots(root: Path) -> list[Row]:
    """Rows with `id` and text columns: those of plots.csv, or `plot` from the lines of a text file."""
    found = [root / name for name in ("plots.txt", "plots.dat", "plots.csv") if (root / name).is_file()]
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "none"
        raise CatalogueError(f"{root} needs the plots in one of plots.txt, plots.dat and plots.csv; found: {names}")
    if found[0].suffix == ".csv":
        rows = read_rows(found[0])
        for row in rows:
            row.where = f"{found[0].name} {row.where}"
            number = [row.fields.pop(name) for name in ("id", "movieid", "movie_id") if name in row.fields]
            if not number and not row.problem:
                raise CatalogueError(f"{found[0]} has no column id or movieId; it has {', '.join(row.fields)}")
            row.fields["id"] = number[0].strip() if number else None
        return rows
    rows = read_text_file(found[0])
    for row in rows:
        parts = re.fullmatch(r"\s*([^\t:]+?)\s*(?:::|\t)(.*)", row.fields["line"])
        row.fields = {"id": parts[1], "plot": parts[2]} if parts else {"id": None}
        row.problem = "" if parts else "neither id::plot nor id, tab, plot"
    return rows


def _read_dataset(source: str, plot_columns: Sequence[str] | None) -> Source:
    """What `datasets` reads: from disk, from a folder of data files, or from the Hub."""
    from_disk = any((Path(source) / name).is_file() for name in ("dataset_dict.json", "state.json"))
    try:
        for state in Path(source).glob("**/state.json") if from_disk else ():
            if not json.loads(state.read_text(encoding="utf-8"))["_data_files"]:  # `datasets` trips over it
                raise CatalogueError(f"split {state.parent.name!r} of {source} is empty")
        data = load_from_disk(source) if from_disk else load_dataset(source)
    except CatalogueError:
        raise
    except Exception as error:  # every builder has its own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        what = (
            "is no dataset that can be loaded"
            if Path(source).exists()
            else "is neither a folder nor, on the Hub, a dataset"
        )
        raise CatalogueError(f"{source} {what} ({reason}); {LAYOUTS}") from error
    splits = data if isinstance(data, DatasetDict) else DatasetDict(train=data)
    # load_dataset calls rows that nobody has split "train".
    given = isinstance(data, DatasetDict) and (from_disk or list(data) != ["train"])
    features = next(iter(splits.values())).features
    for name, dataset in splits.items():
        if not len(dataset):
            raise CatalogueError(f"split {name!r} of {source} is empty")
        if set(dataset.features) != set(features):
            raise CatalogueError(f"split {name!r} of {source} has other columns: {', '.join(dataset.features)}")
    plots = choose_plot_columns([column.lower() for column in features], plot_columns)
    wanted = [column for column in features if column.lower() in (*FIELDS, *plots)]
    rows: list[Row] = []
    for name, dataset in splits.items():
        for index, fields in enumerate(dataset.select_columns(wanted).to_list()):
            named = {column.lower(): class_names(value, dataset.features[column]) for column, value in fields.items()}
            fields = {"id": str(len(rows))} | named
            split = fields.get("split") or (name if given else None)
            rows.append(Row(f"{name}[{index}]", fields, split=split))
    image = image_column(features)
    images = [dataset.select_columns(image) for dataset in splits.values()]
    if image != "image":
        images = [dataset.rename_column(image, "image") for dataset in images]
    images = [dataset.cast_column("image", Image(decode=False)) for dataset in images]
    return Source(rows, concatenate_datasets(images), plots)


def class_names(value: Any, feature: Any) -> Any:
    """The value with the names of its classes for their numbers; -1 is a class that nobody knows."""
    if isinstance(value, list):
        return [class_names(item, getattr(feature, "feature", None)) for item in value]
    if isinstance(feature, ClassLabel) and value is not None:
        return None if value == -1 else feature.int2str(value)
    return value


def image_column(features: Features) -> str:
    """The one column of posters: by its type, or by the name `image`."""
    images = [name for name, feature in features.items() if isinstance(feature, Image)]
    if len(images) == 1:
        return images[0]
    if "image" in images or getattr(features.get("image"), "dtype", None) in ("string", "binary"):
        return "image"
    raise CatalogueError(f"no column of posters (type Image, or named image); columns: {', '.join(features)}")
