"""The HF Trainer with a contrastive loss over the joint batch and an evaluation over the whole pool."""

import gc
import shutil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput, has_length

from modeling.posterclip.configuration_posterclip import MAX_LOGIT_SCALE
from modeling.posterclip.encoders import is_frozen
from modeling.posterclip.losses import LOSSES, positives_by_id, soft_targets, symmetric_loss
from modeling.posterclip.modeling_posterclip import PosterCLIPModel

from .argument_checks import check_arguments
from .gradient_cache import backward_in_chunks
from .lora import adapted_encoders, load_adapter, merged_state_dict, save_adapter
from .parameter_groups import decay_parameter_names, split_by_depth
from .pool_loss import pool_loss
from .samplers import EpochCallback, LengthGroupedSampler

# In a checkpoint of a model with LoRA: what trained, beside the merged weights.
ADAPTER_FOLDER = "adapter"
ROWS_AT_A_TIME = 256  # of a frozen encoder, whatever the batch


class PosterCLIPTrainer(Trainer):
    """Trains a `PosterCLIPModel`. Options of `TrainingArguments` keep their meaning or are refused by name.

    A batch holds the model's inputs and `positive_ids`, the movie id of each pair. It differs from Trainer in this:

    - With several processes, each poster is compared with the plots of all of them, and gradients flow back to
      where the embeddings came from: the loss and the gradients are those of one process on the joint batch.
    - Evaluation embeds every poster and plot once and reports the loss over the whole pool; `compute_metrics` gets
      `predictions=(image_embeds, text_embeds)` and `label_ids`, the movie ids.
    - With a `chunk_size`, only that many pairs are in the encoders at a time, whatever the batch; see
      `modeling.training.gradient_cache`.
    - With a `layer_decay`, the learning rate falls by this factor with each layer group below the projections.
    - `train_sampling_strategy="group_by_length"` goes by the `lengths` of the training data
      (`modeling.training.samplers`).
    - With a `genre_weight`, movies of overlapping genres are related and not negatives; see
      `modeling.posterclip.losses.soft_targets`. The batch then holds `genres` (pairs, genres) too.
      Evaluation does without.
    - Scale, biases, norms, class tokens and positions have no weight decay.
    - Of a model with LoRA, checkpoints and `save_model` hold the merged weights of a plain model, and in `adapter/`
      what trained, from which a run resumes and the best model is restored; see `modeling.training.lora`.
    - The temperature is held in 1..100 after each step, as in CLIP (Radford et al. 2021, section 2.5).
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
        super().__init__(model, args, *rest, **kwargs)
        self.chunk_size = chunk_size
        self.layer_decay = layer_decay
        self.genre_weight = genre_weight
        self.add_callback(EpochCallback)

    def get_train_dataloader(self) -> DataLoader:
        """As in Trainer, but a stream that gives each process its own rows (`split_by_node`) is not split again."""
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

    def set_initial_training_values(self, args: TrainingArguments, dataloader: DataLoader) -> Any:
        """As in Trainer, but what has no length has one epoch, not `sys.maxsize`: a run that is over stays as it is."""
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
        # Trainer would group an evaluation by length as well, and ask its data for lengths.
        return SequentialSampler(eval_dataset)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The loss of the joint batch; a mean over its pairs, so accumulation steps are averaged, not summed."""
        inputs, metadata = _split(inputs)
        outputs = model(**self._model_inputs(inputs))
        loss = self._joint_loss(outputs.image_embeds, outputs.text_embeds, metadata)
        return (loss, outputs) if return_outputs else loss

    def _joint_loss(self, images: Tensor, texts: Tensor, metadata: dict[str, Any]) -> Tensor:
        own = images, texts
        positive_ids, genres = metadata["positive_ids"], metadata.get("genres")
        if self.args.world_size > 1:
            images, texts = torch.cat(all_gather(images)), torch.cat(all_gather(texts))
            positive_ids = self.accelerator.gather(positive_ids)
            genres = None if genres is None else self.accelerator.gather(genres)
        logits, targets = self.clip.similarity(images, texts), self._targets(positive_ids, genres)
        # The last batch is filled up to one size for all processes, with pairs from the start of the epoch.
        state = self.accelerator.gradient_state
        if self.args.world_size > 1 and state.end_of_dataloader and state.sync_gradients and state.remainder > 0:
            logits, targets = (matrix[: state.remainder, : state.remainder] for matrix in (logits, targets))
        loss = symmetric_loss(LOSSES[self.clip.config.loss], logits, targets)
        if not loss.isfinite():
            self._stop_at(loss, *own, metadata.get("ids", metadata["positive_ids"].tolist()))
        return loss

    def _targets(self, positive_ids: Tensor, genres: Tensor | None) -> Tensor:
        if self.genre_weight == 0:
            return positives_by_id(positive_ids, positive_ids)
        if genres is None:
            raise ValueError("genre_weight: the training data gives no genres.")
        return soft_targets(positive_ids, genres, self.genre_weight)

    def _stop_at(self, loss: Tensor, images: Tensor, texts: Tensor, ids: list[Any]) -> NoReturn:
        finite = (images.isfinite() & texts.isfinite()).all(1).tolist()
        bad = [str(name) for name, good in zip(ids, finite, strict=True) if not good]
        which = "Rows whose embeddings are not finite" if bad else "Its rows"
        rows = ", ".join(bad or map(str, ids))
        raise FloatingPointError(f"The loss of step {self.state.global_step + 1} is {loss.item()}. {which}: {rows}")

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """As in Trainer; with a `chunk_size`, the same gradients in the memory of that many pairs."""
        if self.chunk_size is None:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        inputs, metadata = _split(self._prepare_inputs(inputs))

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

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """As in Trainer; then a frozen encoder's features, made once and without gradients, replace its input."""
        inputs, model = super()._prepare_inputs(inputs), self.clip
        with torch.no_grad(), self.compute_loss_context_manager():
            if is_frozen(model.vision_model) and inputs.keys() & {"pixels", "pixel_values"}:
                name = "pixels" if "pixels" in inputs else "pixel_values"
                parts = [self._model_inputs({name: rows}) for rows in inputs.pop(name).split(ROWS_AT_A_TIME)]
                inputs["image_features"] = torch.cat([model.vision_features(**part) for part in parts])
            if is_frozen(model.text_model):
                for prefix, encode in (("", model.text_features), ("poster_", model.poster_text_features)):
                    if f"{prefix}input_ids" in inputs:
                        texts = inputs.pop(f"{prefix}input_ids"), inputs.pop(f"{prefix}attention_mask")
                        rows = zip(*(part.split(ROWS_AT_A_TIME) for part in texts), strict=True)
                        inputs[f"{prefix}text_features"] = torch.cat([encode(*part) for part in rows])
        return inputs

    def _model_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of some rows of a batch: posters as values, not bytes, and plots without padding that only others need."""
        inputs = dict(inputs)
        if "pixels" in inputs:
            collator: Any = self.data_collator
            inputs["pixel_values"] = collator.pixel_values(inputs.pop("pixels"))
        for prefix in ("", "poster_"):
            if f"{prefix}attention_mask" in inputs:
                used = inputs[f"{prefix}attention_mask"].any(0)
                used[0] = True  # a batch of posters without words has a token as well
                names = (f"{prefix}input_ids", f"{prefix}attention_mask")
                inputs.update({name: inputs[name][:, used] for name in names})
        return inputs

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Returns the names of weights that decay; see `decay_parameter_names`."""
        return decay_parameter_names(model)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """As in Trainer, with layer-wise learning rates, and the temperature clamped after each step."""
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
        """The embeddings and movie ids of a batch; its loss would depend on what else happens to be in it."""
        inputs, metadata = _split(self._prepare_inputs(inputs))
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**self._model_inputs(inputs))
        return None, (outputs.image_embeds.float(), outputs.text_embeds.float()), metadata["positive_ids"]

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """As in Trainer, with the loss over all pairs of the pool."""
        output = super().evaluation_loop(dataloader, description, False, ignore_keys, metric_key_prefix)
        images, texts = (torch.from_numpy(np.asarray(array)) for array in output.predictions)
        loss = pool_loss(self.clip, images, texts, torch.from_numpy(np.asarray(output.label_ids)))
        return output._replace(metrics={f"{metric_key_prefix}_loss": loss, **(output.metrics or {})})

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        output_dir = output_dir or str(self.args.output_dir)
        if not adapted_encoders(self.clip):
            shutil.rmtree(Path(output_dir) / ADAPTER_FOLDER, ignore_errors=True)  # of a former run into the same folder
            return super()._save(output_dir, state_dict)
        if self.args.should_save:
            super()._save(output_dir, merged_state_dict(self.clip))
            save_adapter(self.clip, Path(output_dir) / ADAPTER_FOLDER)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if not adapted_encoders(self.clip):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_adapter(self.clip, Path(resume_from_checkpoint) / ADAPTER_FOLDER)

    def _load_best_model(self) -> None:
        if not adapted_encoders(self.clip):
            return super()._load_best_model()
        load_adapter(self.clip, Path(str(self.state.best_model_checkpoint)) / ADAPTER_FOLDER)

    def leave_process_group(self) -> None:
        """Part from the other processes, if there are any; the last thing that a process does with its trainer.

        A process that exits while a communication thread still runs is aborted by the interpreter now and then, and
        those threads run as long as anything holds the model that was wrapped for them.
        """
        self.accelerator.wait_for_everyone()
        self.model_wrapped = self.clip
        self.accelerator.free_memory()
        gc.collect()
        self.accelerator.end_training()

    @property
    def clip(self) -> PosterCLIPModel:
        """The model, unwrapped."""
        return self.accelerator.unwrap_model(self.model)


def _split(batch: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the model's inputs of a batch, and what else it holds: ids and genres."""
    metadata = {name: value for name, value in batch.items() if name in ("positive_ids", "ids", "genres")}
    return {name: value for name, value in batch.items() if name not in metadata}, metadata
