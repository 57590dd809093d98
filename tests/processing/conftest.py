import json

import pytest

from tests.processing.catalogues import poster


@pytest.fixture
def folder(tmp_path):
    """Write metadata rows (dicts, or raw bytes) as a folder with a poster for each; returns its path."""

    def write(rows, name="metadata.jsonl"):
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\n".join(lines) + b"\n")
        for row in rows:
            if isinstance(row, dict) and not str(row.get("file_name", "..")).startswith((".", "/")):
                poster(path.parent / row["file_name"])
        return str(tmp_path)

    return write
