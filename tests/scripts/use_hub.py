"""Uses what is on a Hub by transformers and datasets alone: `use_hub.py REVISION OUT`, REVISION of ann/clip.

Writes down what the model says, newest and as of REVISION, the rows of ann/movies, the loss of a step of training on
them, and why ann/bare, the same without its code, cannot be loaded.
"""

import json
import sys

import no_clone  # noqa: F401
import torch
from datasets import load_dataset
from transformers import AutoModel, AutoProcessor, Trainer, TrainingArguments, pipeline

older, out = sys.argv[1:]
movies = load_dataset("ann/movies", split="train")


def load(revision):
    model = AutoModel.from_pretrained("ann/clip", revision=revision, trust_remote_code=True)
    return model, AutoProcessor.from_pretrained("ann/clip", revision=revision, trust_remote_code=True)


def scores(revision):
    model, processor = load(revision)
    with torch.no_grad():
        inputs = processor(images=movies[0]["image"], text=["a whale", "bees"], return_tensors="pt")
        return model.eval()(**inputs).logits_per_image.tolist()


model, processor = load(older)
tagger = pipeline("zero-shot-image-classification", model="ann/clip", revision=older, trust_remote_code=True)
told = {
    # Twice, as what was loaded in between must not change it.
    "scores": {"older": scores(older), "newest": scores(None), "older again": scores(older)},
    "labels": len(tagger(movies[0]["image"], candidate_labels=["war", "love"], hypothesis_template="a {}")),
    "titles": movies["title"][:],
    "splits": movies["split"][:],
}


def collate(rows):
    texts = [row["plot_short"] for row in rows]
    batch = processor(images=[row["image"] for row in rows], text=texts, return_tensors="pt")
    return {**batch, "return_loss": True}


arguments = TrainingArguments(out, max_steps=1, remove_unused_columns=False, use_cpu=True, report_to="none")
trainer = Trainer(model, arguments, data_collator=collate, train_dataset=movies, processing_class=processor)
try:
    AutoModel.from_pretrained("ann/bare", trust_remote_code=True)
except OSError as error:
    told["bare"] = str(error)
told["loss"] = trainer.train().training_loss
trainer.save_model()
with open(f"{out}/told.json", "w") as file:
    json.dump(told, file)
