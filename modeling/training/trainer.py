"""The HF Trainer with a contrastive loss over all processes and an evaluation over the whole pool."""

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, has_length

from modeling.posterclip.configuration_posterclip import MAX_LOGIT_SCALE
from modeling.posterclip.encoders import is_frozen
from modeling.posterclip.losses import Targets
from modeling.posterclip.modeling_posterclip import PosterCLIPModel

from .argument_checks import check_arguments
from .finite_losses import FiniteLosses
from .gradient_cache import backward_in_chunks
from .joint_loss import joint_loss
from .lora import adapted_encoders, load_adapter, merged_state_dict, save_adapter
from .parameter_groups import decay_parameter_names, split_by_depth
from .samplers import EpochCallback, LengthGroupedSampler

ADAPTER_FOLDER = "adapter"  # in a checkpoint of a model with LoRA, beside the merged weights
POSTERS = ("pixels", "pixel_values", "pixel_attention_mask", "spatial_shapes")  # in a batch
TEXTS = ("", "poster_", "title_")  # prefixes of the inputs of the text encoder
FROZEN_BATCH_SIZE = 256  # rows per forward pass of a frozen encoder


class PosterCLIPTrainer(Trainer):
    """A `Trainer` of a `PosterCLIPModel`. It rejects the values of `TrainingArguments` that it does not support.

    A batch has the model's inputs, `positive_ids` (the movie of each pair) and, with `genre_weight`, `genres` (pairs,
    genres). The differences from `Trainer` are:

    - With several processes, the loss and its gradients are those of one process with the joint batch.
    - An evaluation embeds every poster and plot once and reports the loss over the whole pool. `compute_metrics` gets
      `predictions=(image_embeds, text_embeds)` and `label_ids`, the movie ids.
    - `train_sampling_strategy="group_by_length"` uses the `lengths` of the training data
      (`modeling.training.samplers`).
    - Logit scale, biases, norms, class tokens and position embeddings have no weight decay.
    - The logit scale is clamped to 1..100 after each step, as in CLIP (Radford et al. 2021, section 2.5).
    - For a model with LoRA, checkpoints and `save_model` have the merged weights, and the adapters in `adapter/`, from
      which a run resumes and the best model is loaded (`modeling.training.lora`).
    - A checkpoint that lacks weights of the model is an error when a run resumes and when the best model is loaded.

    Args:
        model: the model.
        args: the training arguments.
        rest: further arguments of `Trainer`, like `kwargs`.
        chunk_size: the number of pairs that the encoders process at a time (`modeling.training.gradient_cache`).
        layer_decay: the factor of the learning rate from one layer group to the one before it, from the projections
            to the embeddings.
        genre_weight: the weight of common genres in the targets of training (`losses.Targets`).

    Raises:
        ValueError: an argument has a value that is not supported; it names the argument.
    """

    def __init__(
        self,
        model: PosterCLIPModel,
        args: TrainingArguments,
        *rest: Any,
        chunk_size: int | None = None,
        layer_decay: float | None = None,
        genre_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_arguments(args, chunk_size, layer_decay, genre_weight)
        args.logging_nan_inf_filter = False  # it waits for each step, and here such a loss is an error
        super().__init__(model, args, *rest, **kwargs)
        self.clip = model
        self.frozen = {name: is_frozen(getattr(model, name)) for name in ("vision_model", "text_model")}
        self.finite_losses = FiniteLosses()
        self.chunk_size, self.layer_decay, self.genre_weight = chunk_size, layer_decay, genre_weight
        self.add_callback(EpochCallback)
        self.add_callback(self.finite_losses)

    def get_train_dataloader(self) -> DataLoader:
        """Returns the batches of the training data. A stream that is split by process already is not split again."""
        dataset: Any = self.train_dataset
        if not getattr(dataset, "split_by_node", False):
            return super().get_train_dataloader()
        return DataLoader(
            dataset,
            self._train_batch_size,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            multiprocessing_context=self.args.dataloader_multiprocessing_context,
        )

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Trains as `Trainer` does."""
        self.clip.train()
        return super().train(*args, **kwargs)

    def set_initial_training_values(self, args: TrainingArguments, dataloader: DataLoader) -> Any:
        """Returns the values of `Trainer`, but one epoch for a stream, so that a finished run does not go on."""
        epochs, *others = super().set_initial_training_values(args, dataloader)
        return epochs if has_length(dataloader) else 1, *others

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        step_size = self.args.train_batch_size * self.args.world_size * self.args.gradient_accumulation_steps
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return LengthGroupedSampler(data, step_size, seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler:
        # Trainer would use the training's sampling strategy, and its lengths, in an evaluation too.
        return SequentialSampler(eval_dataset)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Returns the mean loss over the pairs of the joint batch. Accumulation steps are averaged."""
        inputs, metadata = _split(inputs)
        outputs = model(**self._model_inputs(inputs), return_logits=False)
        loss = self._joint_loss(outputs.image_embeds, outputs.text_embeds, metadata)
        return (loss, outputs) if return_outputs else loss

    def _joint_loss(self, images: Tensor, texts: Tensor, metadata: dict[str, Any]) -> Tensor:
        positive_ids, genres = metadata["positive_ids"], metadata.get("genres") if self.genre_weight else None
        if self.genre_weight and genres is None:
            raise ValueError("genre_weight needs training data with genres.")
        targets = Targets(positive_ids, genres, self.genre_weight)
        loss = joint_loss(self.clip, self.accelerator, images, texts, targets)
        if self.is_in_train:
            self.finite_losses.add(self.state.global_step + 1, loss, images, texts, metadata.get("ids", positive_ids))
        return loss

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Runs the forward and backward pass of a batch, in chunks if there is a `chunk_size`; returns the loss.

        The mode of the model is set after an evaluation only, because to visit all modules takes as long as a step.
        """
        if not self.clip.training:
            model.train()
        inputs = self._prepare_inputs(inputs)
        if self.chunk_size is None:
            with self.compute_loss_context_manager():
                value = self.compute_loss(model, inputs) / self.current_gradient_accumulation_steps
            self.accelerator.backward(value)
            return value.detach()
        inputs, metadata = _split(inputs)

        def loss(images: Tensor, texts: Tensor) -> Tensor:
            return self._joint_loss(images, texts, metadata) / self.current_gradient_accumulation_steps

        return backward_in_chunks(
            model,
            inputs,
            self.chunk_size,
            loss,
            prepare=self._model_inputs,
            backward=self.accelerator.backward,
            autocast=self.compute_loss_context_manager,
            no_sync=lambda: self.accelerator.no_sync(model),
        )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Returns 0: transformers' estimate, tokens times weights, is not that of two encoders, and takes time."""
        return 0

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the batch on the device, with features in place of the inputs of frozen encoders."""
        inputs, model = super()._prepare_inputs(inputs), self.clip
        with torch.no_grad(), self.compute_loss_context_manager():
            if self.frozen["vision_model"] and (names := [name for name in POSTERS if name in inputs]):
                rows = zip(*(inputs.pop(name).split(FROZEN_BATCH_SIZE) for name in names), strict=True)
                parts = (self._model_inputs(dict(zip(names, part, strict=True))) for part in rows)
                inputs["image_features"] = torch.cat([model.vision_features(**part) for part in parts])
            for prefix in TEXTS if self.frozen["text_model"] else ():
                if f"{prefix}input_ids" in inputs:
                    texts = inputs.pop(f"{prefix}input_ids"), inputs.pop(f"{prefix}attention_mask")
                    rows = zip(*(part.split(FROZEN_BATCH_SIZE) for part in texts), strict=True)
                    inputs[f"{prefix}text_features"] = torch.cat([model.text_features(*part) for part in rows])
        return inputs

    def _model_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the model's inputs of some rows: pixel values of bytes, and texts without superfluous padding."""
        inputs = dict(inputs)
        if "pixels" in inputs:
            collator: Any = self.data_collator
            inputs["pixel_values"] = collator.pixel_values(inputs.pop("pixels"))
        for prefix in TEXTS:
            if f"{prefix}attention_mask" in inputs:
                used = inputs[f"{prefix}attention_mask"].any(0)
                used[0] = True  # a batch of empty texts keeps one token
                names = (f"{prefix}input_ids", f"{prefix}attention_mask")
                inputs.update({name: inputs[name][:, used] for name in names})
        return inputs

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Returns the names of parameters with weight decay; see `decay_parameter_names`."""
        return decay_parameter_names(model)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Creates the optimizer, with layer-wise learning rates, and clamps the logit scale after each step."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(*args, **kwargs)
        if self.layer_decay is not None:
            encoders = self.clip.vision_model, self.clip.text_model
            optimizer.param_groups = split_by_depth(optimizer.param_groups, encoders, self.layer_decay)
        optimizer.register_step_post_hook(lambda *_: self._clamp_logit_scale())
        return optimizer

    @torch.no_grad()
    def _clamp_logit_scale(self) -> None:
        self.clip.logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Any, Tensor]:
        """Returns the embeddings and movie ids of a batch, without a loss, which is computed over the whole pool."""
        inputs, metadata = _split(self._prepare_inputs(inputs))
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**self._model_inputs(inputs), return_logits=False)
        return None, (outputs.image_embeds.float(), outputs.text_embeds.float()), metadata["positive_ids"]

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Returns the output of `Trainer` with the loss over the whole pool."""
        output = super().evaluation_loop(dataloader, description, False, ignore_keys, metric_key_prefix)
        arrays = (*output.predictions, output.label_ids)
        images, texts, ids = (torch.from_numpy(np.asarray(array)).to(self.clip.device) for array in arrays)
        with torch.no_grad():
            loss = self.clip.pair_loss(images, texts, Targets(ids)).item()
        return output._replace(metrics={f"{metric_key_prefix}_loss": loss, **(output.metrics or {})})

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        output_dir = output_dir or str(self.args.output_dir)
        if not adapted_encoders(self.clip):
            shutil.rmtree(Path(output_dir) / ADAPTER_FOLDER, ignore_errors=True)  # left by an earlier run
            return super()._save(output_dir, state_dict)
        if self.args.should_save:
            super()._save(output_dir, merged_state_dict(self.clip))
            save_adapter(self.clip, Path(output_dir) / ADAPTER_FOLDER)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self._load_weights(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        self._load_weights(str(self.state.best_model_checkpoint))

    def _load_weights(self, checkpoint: str) -> None:
        """Loads a checkpoint by `from_pretrained`, which checks its weights. `Trainer` itself only warns."""
        if adapted_encoders(self.clip):
            return load_adapter(self.clip, Path(checkpoint) / ADAPTER_FOLDER)
        loaded = type(self.clip).from_pretrained(checkpoint, config=self.clip.config)
        self.clip.load_state_dict(loaded.state_dict())

    def leave_process_group(self) -> None:
        """Leaves the process group, if there is one. A process calls it last.

        A process that exits with running communication threads is sometimes aborted, and the threads run as long as
        there is a reference to the wrapped model.
        """
        self.accelerator.wait_for_everyone()
        self.model_wrapped = self.clip
        self.accelerator.free_memory()
        gc.collect()
        self.accelerator.end_training()


def _split(batch: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the model's inputs of a batch, and its ids and genres."""
    metadata = {name: value for name, value in batch.items() if name in ("positive_ids", "ids", "genres")}
    return {name: value for name, value in batch.items() if name not in metadata}, metadata
