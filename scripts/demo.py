"""Write what the demo needs: the embedded catalogue with its drawn posters, and two small pretrained encoders."""

import argparse
from pathlib import Path

from modeling.demo_encoders import DemoWeightsError, export_text_encoder, export_vision_encoder
from processing.stories import write_catalogue
from scripts.common.command_line import quiet_libraries, stop


def main(arguments: list[str] | None = None) -> None:
    """Write the demo's inputs into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/demo"))
    folder = parser.parse_args(arguments).folder
    quiet_libraries()
    try:
        count = write_catalogue(folder / "catalogue")
        vision = export_vision_encoder(folder / "encoders" / "efficientnet-lite2")
        text = export_text_encoder(folder / "encoders" / "all-minilm-l6-v2")
    except (DemoWeightsError, OSError) as error:
        stop(error)
    print(f"{count} stories with drawn posters in {folder / 'catalogue'}; encoders in {vision} and {text}")


if __name__ == "__main__":
    main()
