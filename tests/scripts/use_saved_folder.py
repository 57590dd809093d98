"""Uses a saved folder by transformers alone: `use_saved_folder.py FOLDER POSTER PLOT PRINTED OUT`."""

import json
import sys
from pathlib import Path

import no_clone  # noqa: F401
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer, pipeline

sys.modules.update(dict.fromkeys(("onnx", "onnxruntime", "onnxscript", "sentence_transformers"), None))
folder, poster, plot, printed, out = sys.argv[1:]
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
again = Path(out).parent / "again"
model.save_pretrained(again)
processor.save_pretrained(again)

with torch.no_grad():
    given = {"images": Image.open(poster), "text": [plot, "another"], "return_tensors": "pt"}
    outputs = model(**processor(**given, poster_text=printed)), model(**processor(**given))
    torch.save([dict(output) for output in outputs], out)
features = {
    task: pipeline(task, model=folder, trust_remote_code=True)(value, return_tensors=True)
    for task, value in (("image-feature-extraction", poster), ("feature-extraction", plot))
}
torch.save(features, Path(out).parent / "features.pt")
assert AutoTokenizer.from_pretrained(folder, trust_remote_code=True)(plot).keys() == {
    "input_ids",
    "attention_mask",
}
assert AutoImageProcessor.from_pretrained(folder, trust_remote_code=True).size == processor.image_processor.size
tagger = pipeline("zero-shot-image-classification", model=folder, trust_remote_code=True)
print(json.dumps(tagger(poster, candidate_labels=["Horror", "Comedy", "War"], hypothesis_template="A {} film.")))
