"""Training with the HF Trainer: a contrastive loss over all processes, gradient caching, LoRA and freezing."""
