"""Loads saved folders where PosterCLIP's own code cannot be imported: `load_elsewhere.py FOLDER`.

Each folder in FOLDER gives its `outputs.pt`, what the model says about `inputs.pt`.
"""

import sys
from pathlib import Path

import no_clone  # noqa: F401
import torch
from transformers import AutoConfig, AutoModel, AutoModelForZeroShotImageClassification

root = Path(sys.argv[1])
inputs = torch.load(root / "inputs.pt")
for folder in sorted(path for path in root.iterdir() if path.is_dir()):
    AutoConfig.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        for auto in (AutoModel, AutoModelForZeroShotImageClassification):
            outputs = auto.from_pretrained(folder, trust_remote_code=True).eval()(**inputs)
            torch.save(dict(outputs), folder / f"{auto.__name__}.pt")
