import json

import pytest
from datasets import Dataset

from processing.catalogue.sources.rows import CatalogueError
from processing.catalogue.sources.tables import read_table

ROWS = [
    {"id": "1", "title": "Amélie", "plot": 'A waitress; a gnome, a "map".'},
    {"id": "2", "title": "Ran", "plot": "War."},
]


def separated(delimiter):
    plots = ['"' + row["plot"].replace('"', '""') + '"' for row in ROWS]
    cells = [["id", "title", "plot"], *([row["id"], row["title"], of] for row, of in zip(ROWS, plots, strict=True))]
    return "\r\n".join(delimiter.join(row) for row in cells) + "\r\n"


FILES = {
    "a.csv": separated(",").encode(),
    "semicolons.csv": separated(";").encode(),
    "bars.csv": separated("|").encode(),
    "a.tsv": separated("\t").encode(),
    "bom.csv": separated(",").encode("utf-8-sig"),
    "utf-16.csv": separated(";").encode("utf-16"),
    "utf-16-be.tsv": b"\xfe\xff" + separated("\t").encode("utf-16-be"),
    "a.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "bom.ndjson": "\n".join(map(json.dumps, ROWS)).encode("utf-8-sig"),
    "array.json": json.dumps(ROWS, indent=1).encode(),
    "lines.json": "\n".join(map(json.dumps, ROWS)).encode(),
    "page.json": json.dumps({"page": 1, "results": ROWS}).encode(),
    "by id.json": json.dumps({row["id"]: {name: row[name] for name in ("title", "plot")} for row in ROWS}).encode(),
}


@pytest.mark.parametrize(("name", "content"), FILES.items(), ids=FILES)
def test_every_kind_of_file_holds_the_same_rows(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    table = read_table(tmp_path / name)
    assert [row.fields for row in table.rows] == ROWS and not any(row.problem for row in table.rows)
    assert table.columns == ["id", "title", "plot"] and table.warnings == []


def test_parquet_is_read_without_the_columns_of_bytes(tmp_path):
    Dataset.from_list([row | {"image": b"x", "poster": {"bytes": b"x"}} for row in ROWS]).to_parquet(
        tmp_path / "a.parquet"
    )
    assert [row.fields for row in read_table(tmp_path / "a.parquet").rows] == ROWS


def test_what_is_not_utf_8_is_read_as_windows_1252_with_a_warning(tmp_path):
    (tmp_path / "a.csv").write_bytes(separated(",").encode("cp1252"))
    table = read_table(tmp_path / "a.csv")
    assert [row.fields for row in table.rows] == ROWS
    assert table.warnings == ["a.csv is not UTF-8: it was read as Windows-1252 (check the accents in its titles)"]


def test_a_column_that_is_there_twice_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("title,plot,title,,\nJaws,A shark.,Tiburón,,\n", encoding="utf-8")
    table = read_table(tmp_path / "a.csv")
    assert table.rows[0].fields["title"] == "Tiburón"
    assert table.warnings == ["columns that are there twice, of which the last is read: title"]


def test_a_few_broken_bytes_in_utf_8_stay_the_problem_of_their_rows(tmp_path):
    (tmp_path / "a.csv").write_bytes("title\nAmélie\nR".encode() + b"\xe4n\n")
    table = read_table(tmp_path / "a.csv")
    assert [row.fields["title"] for row in table.rows] == ["Amélie", "R\udce4n"] and table.warnings == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "holds no rows"),
        ("a.json", b"[]", "holds no rows"),
        ("a.parquet", b"PAR1", "is not Parquet"),
    ],
)
def test_files_without_rows_are_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogueError, match=f"{name} {message}"):
        read_table(tmp_path / name)


def test_rows_that_are_not_json_are_named(tmp_path):
    (tmp_path / "a.json").write_text('[{"title": "Ran"}, 7]')
    assert [(row.where, row.problem) for row in read_table(tmp_path / "a.json").rows] == [
        ("row 1", ""),
        ("row 2", "not a JSON object"),
    ]
