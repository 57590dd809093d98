"""Push a model to the Hugging Face Hub: `python scripts/push_to_hub.py MODEL someone/posterclip`.

Push a catalogue with `--dataset FOLDER someone/movies`, a metric with `--metric FOLDER someone/pair_retrieval`, an app
with `--space FOLDER someone/app`. Everything is checked before it is sent in one commit. A new repository is private.
"""

import argparse
import tempfile
from pathlib import Path

from huggingface_hub.utils import validate_repo_id
from transformers.hf_argparser import string_to_bool

from scripts.common.command_line import USER_ERRORS, quiet_libraries, stop
from scripts.hub.checks import check_loads


def main(arguments: list[str] | None = None) -> None:
    """Check, list and push."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("model", nargs="?", type=Path, help="a saved folder")
    parser.add_argument("repo", help="someone/name")
    parser.add_argument("--dataset", type=Path, help="instead of a model, a catalogue: metadata and posters")
    parser.add_argument("--metric", type=Path, help="instead of a model, the folder of a metric, as a Space")
    parser.add_argument("--space", type=Path, help="instead of a model, an app that scripts/app.py --space wrote")
    parser.add_argument("--public", type=string_to_bool, default=False, help="True: everybody may see it")
    parser.add_argument("--revision", help="a branch, made if there is none; main by default")
    parser.add_argument("--create_pr", type=string_to_bool, default=False, help="True: open a pull request")
    parser.add_argument("--dry_run", type=string_to_bool, default=False, help="True: check and list, push nothing")
    options = parser.parse_args(arguments)
    folders = [options.model, options.dataset, options.metric, options.space]
    if len(list(filter(None, folders))) != 1:
        parser.error("name one folder: MODEL, --dataset, --metric or --space")
    quiet_libraries()
    from scripts.hub.pushing import push
    from scripts.hub.staging import name_in_card, stage_dataset, stage_metric, stage_model, stage_space

    stages = (stage_model, stage_dataset, stage_metric, stage_space)
    stage, source = next((stage, source) for stage, source in zip(stages, folders, strict=True) if source)
    with tempfile.TemporaryDirectory() as folder:
        try:
            validate_repo_id(options.repo)
            if "/" not in options.repo:
                raise ValueError(f"{options.repo} lacks an owner: the repository is someone/name.")
            staged = stage(source, Path(folder))
            if staged.repo_type == "model":
                name_in_card(staged, source, options.repo)
                check_loads(staged.folder)
            for note in staged.notes:
                print(note)
            if options.dry_run:
                for name in staged.files:
                    print(f"{staged.size(name):>14,}  {name}")
                print(f"{sum(map(staged.size, staged.files)):>14,}  bytes in all; nothing was pushed")
                return
            fields = {"public": options.public, "revision": options.revision, "create_pr": options.create_pr}
            print(push(staged, options.repo, **fields))
        except USER_ERRORS as error:
            stop(error)


if __name__ == "__main__":
    main()
