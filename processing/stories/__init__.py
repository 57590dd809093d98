"""The embedded catalogue: stories in the public domain, their plots in our own words, their posters drawn."""

import json
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .draw import draw_poster

COLUMNS = ("id", "title", "year", "author", "genres", "plot_short", "plot_long", "series")


def read_stories() -> list[dict[str, Any]]:
    """The stories as they ship.

    Each has an `id`, a `title`, a `year` (below 0: B.C.), an `author`, `genres` (the first colours the poster),
    `plot_short` and `plot_long`, what the poster shows (a `scene` and `motifs`, the first in the middle), and,
    where stories belong together, the name of their `series`.

    Example:
        >>> [story["title"] for story in read_stories() if story["id"] == "moby-dick"]
        ['Moby-Dick']
    """
    lines = (Path(__file__).parent / "stories.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def write_catalogue(folder: Path) -> int:
    """Draw every poster and write the stories as an imagefolder catalogue; return how many there are.

    The folder then holds `metadata.jsonl` and `posters/ID.png`, and each row says that its poster is drawn.
    """
    posters = folder / "posters"
    posters.mkdir(parents=True, exist_ok=True)
    rows = []
    for story in tqdm(read_stories(), desc="Drawing posters", unit="poster"):
        name = f"{story['id']}.png"
        draw_poster(story).save(posters / name)
        row = {column: story[column] for column in COLUMNS if column in story}
        rows.append({"file_name": f"posters/{name}", "poster": "drawn, not real", **row})
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return len(rows)
