"""Training with the HF Trainer: loss over the joint batch, large batches in chunks, LoRA, freezing."""
