"""Write a saved model as ONNX: `python scripts/export.py MODEL --output FOLDER`.

The folder holds the image side, the text side and both, and the processor's files: what `scripts/match_onnx.py` needs.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from modeling.inference.onnx_export import export_onnx
from scripts.common.command_line import USER_ERRORS, load_model, parse, quiet_libraries, stop


@dataclass
class ExportArguments:
    """Where to."""

    output: str = field(metadata={"help": "Folder for the ONNX files."})


def main(arguments: list[str] | None = None) -> None:
    """Write the files and print how far each is from torch."""
    quiet_libraries()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    export, named = parse((ExportArguments,), arguments, positional="model", description=__doc__)
    folder = Path(export.output)
    try:
        if not export.output:
            raise ValueError("output: name a folder.")
        model, processor = load_model(named.model)
        pixels = processor.image_processor(Image.new("RGB", (64, 64)), return_tensors="pt")["pixel_values"]
        differences = export_onnx(model.float(), folder, tuple(pixels.shape[-2:]))
        processor.save_pretrained(folder)
    except USER_ERRORS as error:
        stop(error)
    for name, difference in differences.items():
        print(f"{folder / name}: differs from torch by {difference:.1e} at most")


if __name__ == "__main__":
    main()
