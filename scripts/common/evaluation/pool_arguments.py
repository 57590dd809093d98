"""The arguments of an evaluation. They are apart from the evaluator so that `--help` imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Literal

from scripts.common.command_line import FEATURE_CACHE


@dataclass
class PoolArguments:
    """Which movies are the pool, and what is measured."""

    split: str = field(default="test", metadata={"help": "The split that is the pool."})
    allow_trained_movies: bool = field(
        default=False,
        metadata={"help": "Evaluate also where the model was trained on, or chosen by, movies of the pool; name them."},
    )
    titles: Literal["hide", "use"] = field(
        default="hide", metadata={"help": "Whether a movie is known by its titles too."}
    )
    plots: Literal["one", "all"] = field(
        default="one", metadata={"help": "Whether a movie is known by its first plot or by all of its plots."}
    )
    mask_titles: bool = field(default=False, metadata={"help": "Evaluate on plots without their movie's title."})
    remove_poster_text: bool = field(
        default=False,
        metadata={"help": "Evaluate on posters whose text is painted over; needs poster_text in the catalogue."},
    )
    pool_sizes: list[int] | None = field(
        default=None,
        metadata={"help": "Sizes of smaller random pools to give expected results for; 10, 30, 100 ... by default."},
    )
    one_to_one: bool = field(
        default=False, metadata={"help": "Also match the pool as a whole, one plot for each poster."}
    )
    legacy_protocol: bool = field(
        default=False,
        metadata={"help": "Also evaluate train, validation and test as one pool, trained movies and others apart."},
    )
    trained_splits: list[str] | None = field(
        default=None,
        metadata={"help": "Legacy protocol: the splits trained on, for a model without a record of its movies."},
    )
    batch_size: int = field(default=32, metadata={"help": "Posters or plots encoded at a time."})
    feature_cache: str = field(default=FEATURE_CACHE, metadata={"help": "Folder of encoder features, or none."})

    @property
    def splits(self) -> list[str]:
        """The splits whose posters are needed; none are all."""
        if self.legacy_protocol:
            return []
        return [self.split, *(["train"] if self.split == "validation" else [])]  # which is taken from train if missing
