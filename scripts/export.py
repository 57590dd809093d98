"""Write a saved model as ONNX: `python scripts/export.py MODEL --output FOLDER`.

The folder holds the image side, the text side and both, and the processor's files: what `scripts/match_onnx.py` needs.
"""

import logging
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from scripts.common.command_line import USER_ERRORS, load_model, parse, quiet_libraries, stop


@dataclass
class ExportArguments:
    """Where to."""

    output: str = field(metadata={"help": "Folder for the ONNX files."})


def main(arguments: list[str] | None = None) -> None:
    """Writes the files and prints how far each is from torch, and what match_onnx.py cannot do."""
    quiet_libraries()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    export, named = parse((ExportArguments,), arguments, positional="model", description=__doc__)
    from PIL import Image

    from modeling.inference.onnx_export import export_onnx
    from scripts.common import onnx_pixels

    folder = Path(export.output)
    try:
        if not export.output:
            raise ValueError("output: name a folder.")
        model, processor = load_model(named.model)
        pixels = processor.image_processor(Image.new("RGB", (64, 64)), return_tensors="pt")["pixel_values"]
        if pixels.ndim != 4:
            raise ValueError(f"{named.model}: its image encoder takes patches of each poster's own shape, not pixels.")
        differences = export_onnx(model.float(), folder, tuple(pixels.shape[-2:]))
        processor.save_pretrained(folder)
        shutil.copy(onnx_pixels.__file__, folder)
    except USER_ERRORS as error:
        stop(error)
    if others := onnx_pixels.unsupported(processor.image_processor.to_dict()):
        print(
            f"{folder / 'onnx_pixels.py'}, which scripts/match_onnx.py uses, does not follow the image processor's "
            f"{', '.join(others)}: make pixel_values of posters in another way.",
            file=sys.stderr,
        )
    for name, difference in differences.items():
        print(f"{folder / name}: differs from torch by {difference:.1e} at most")


if __name__ == "__main__":
    main()
