"""The HF Trainer with a contrastive loss over the joint batch and an evaluation over the whole pool."""

import gc
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import EvalLoopOutput, has_length

from .configuration_posterclip import MAX_LOGIT_SCALE
from .gradient_cache import backward_in_chunks
from .losses import LOSSES, positives_by_id, symmetric_loss
from .modeling_posterclip import PosterCLIPModel
from .towers import layer_groups

logger = logging.getLogger(__name__)


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch it is, by its attribute `epoch`.

    A method named `set_epoch` would be called by the data loaders as well: not when they resume within an epoch,
    and with a count of their own when they evaluate. Either makes a resumed run another one.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass the epoch on to a dataset that wants to know."""
        dataset = kwargs["train_dataloader"].dataset
        if hasattr(dataset, "epoch"):
            dataset.epoch = int(state.epoch or 0)


class PosterCLIPTrainer(Trainer):
    """Trains a `PosterCLIPModel`. Options of `TrainingArguments` keep their meaning or are refused by name.

    A batch holds the model's inputs and `labels`, the movie id of each pair. It differs from Trainer in this:

    - With several processes, each poster is compared with the plots of all of them, and gradients flow back to
      where the embeddings came from: the loss and the gradients are those of one process on the joint batch.
    - Evaluation embeds every poster and plot once and reports the loss over the whole pool; `compute_metrics` gets
      `predictions=(image_embeds, text_embeds)` and `label_ids`, the movie ids.
    - With a `chunk_size`, only that many pairs are in the encoders at a time, whatever the batch; see
      `modeling.gradient_cache`.
    - With a `layer_decay`, the learning rate falls by this factor with each layer group below the projections.
    - Scale, biases, norms, class tokens and positions have no weight decay.
    - The temperature is held in 1..100 after each step, as in CLIP (Radford et al. 2021, section 2.5).
    """

    def __init__(
        self,
        model: PosterCLIPModel,
        args: TrainingArguments,
        *rest: Any,
        chunk_size: int | None = None,
        layer_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse(args, chunk_size, layer_decay)
        super().__init__(model, args, *rest, **kwargs)
        self.chunk_size = chunk_size
        self.layer_decay = layer_decay
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

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The loss of the joint batch; a mean over its pairs, so accumulation steps are averaged, not summed."""
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        loss = self._joint_loss(outputs.image_embeds, outputs.text_embeds, inputs["labels"])
        return (loss, outputs) if return_outputs else loss

    def _joint_loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        if self.args.world_size > 1:
            images, texts = torch.cat(all_gather(images)), torch.cat(all_gather(texts))
            labels = self.accelerator.gather(labels)
        clip = self._clip()
        return symmetric_loss(LOSSES[clip.config.loss], clip.similarity(images, texts), labels)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """As in Trainer; with a `chunk_size`, the same gradients in the memory of that many pairs."""
        if self.chunk_size is None:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")

        def loss(images: Tensor, texts: Tensor) -> Tensor:
            return self._joint_loss(images, texts, labels) / self.current_gradient_accumulation_steps

        return backward_in_chunks(
            model,
            inputs,
            self.chunk_size,
            loss,
            backward=self.accelerator.backward,
            autocast=self.compute_loss_context_manager,
            no_sync=lambda: self.accelerator.no_sync(model),
        )

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Weights that decay: matrices and kernels, not scale, biases, norms, class tokens and positions."""
        return [
            name
            for name, parameter in model.named_parameters()
            if parameter.ndim > 1 and not re.search(r"position|relative|cls_token|class_embedding|mask_token", name)
        ]

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """As in Trainer, with layer-wise learning rates, and the temperature clamped after each step."""
        optimizer = super().create_optimizer(*args, **kwargs)
        if self.layer_decay is not None:
            optimizer.param_groups = self._layer_wise(optimizer.param_groups, self.layer_decay)
        optimizer.register_step_post_hook(lambda *_: self._clamp_logit_scale())
        return optimizer

    def _layer_wise(self, groups: list[dict[str, Any]], decay: float) -> list[dict[str, Any]]:
        """Each group split by depth: the projections' rate, times `decay` for each layer group further down."""
        depths: dict[nn.Parameter, int] = {}
        for tower in (self._clip().vision_model, self._clip().text_model):
            for depth, layer in enumerate(reversed(layer_groups(tower)), start=1):
                depths.update(dict.fromkeys(layer, depth))
        split = []
        for group in groups:
            by_depth: dict[int, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                by_depth.setdefault(depths.get(parameter, 0), []).append(parameter)
            for depth, parameters in sorted(by_depth.items()):
                split.append({**group, "params": parameters, "lr": group["lr"] * decay**depth})
        return split

    @torch.no_grad()
    def _clamp_logit_scale(self) -> None:
        self._clip().logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Any, Tensor]:
        """The embeddings and movie ids of a batch; its loss would depend on what else happens to be in it."""
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        return None, (outputs.image_embeds.float(), outputs.text_embeds.float()), labels

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
        loss = pool_loss(self._clip(), images, texts, torch.from_numpy(np.asarray(output.label_ids)))
        return output._replace(metrics={f"{metric_key_prefix}_loss": loss, **(output.metrics or {})})

    def leave_process_group(self) -> None:
        """Part from the other processes, if there are any; the last thing that a process does with its trainer.

        A process that exits while a communication thread still runs is aborted by the interpreter now and then, and
        those threads run as long as anything holds the model that was wrapped for them.
        """
        self.accelerator.wait_for_everyone()
        self.model_wrapped = self.model
        self.accelerator.free_memory()
        gc.collect()
        self.accelerator.end_training()

    def _clip(self) -> PosterCLIPModel:
        return self.accelerator.unwrap_model(self.model)


@torch.no_grad()
def pool_loss(
    model: PosterCLIPModel, image_embeds: Tensor, text_embeds: Tensor, ids: Tensor, block_size: int = 1024
) -> float:
    """The model's loss over all pairs of a pool, in blocks: memory grows with the pool, not with its square.

    Args:
        model: gives temperature and loss.
        image_embeds: (movies, projection_dim).
        text_embeds: (movies, projection_dim), of the same movies in the same order.
        ids: (movies,).
        block_size: rows scored at a time.
    """
    loss, device = LOSSES[model.config.loss], model.device
    image_embeds, text_embeds, ids = image_embeds.to(device), text_embeds.to(device), ids.to(device)
    total = 0.0
    for start in range(0, len(ids), block_size):
        rows = slice(start, start + block_size)
        positives = positives_by_id(ids[rows], ids)
        for queries, candidates in ((image_embeds, text_embeds), (text_embeds, image_embeds)):
            total += loss(model.similarity(queries[rows], candidates), positives).sum().item()
    return total / (2 * len(ids))


def resume_point(resume: str | None, output_dir: str) -> str | None:
    """The checkpoint folder to resume from, or None to start anew.

    Args:
        resume: "True" for the newest whole checkpoint of `output_dir`, or a checkpoint's folder, or None.
        output_dir: of the run. A checkpoint whose writing was cut off is passed over.

    Raises:
        ValueError: the named folder is no whole checkpoint.
    """
    if resume is None or resume.lower() == "false":
        return None
    if resume.lower() != "true":
        if not (Path(resume) / TRAINER_STATE_NAME).is_file():
            raise ValueError(f"{resume} is no whole checkpoint: it has no {TRAINER_STATE_NAME}.")
        return resume
    # Trainer writes the state last, so a folder without it is not whole.
    whole = [state.parent for state in Path(output_dir).glob(f"checkpoint-*/{TRAINER_STATE_NAME}")]
    if not whole:
        logger.warning("There is no whole checkpoint in %s: training starts anew.", output_dir)
    return max(map(str, whole), key=lambda name: int(name.rsplit("-", 1)[1]), default=None)


def _refuse(args: TrainingArguments, chunk_size: int | None, layer_decay: float | None) -> None:
    reasons = {
        "dataloader_persistent_workers": (
            args.dataloader_persistent_workers,
            "a resumed run would draw other random numbers than an uninterrupted one",
        ),
        "per_device_train_batch_size": (
            args.train_batch_size * args.world_size == 1,
            "a movie is compared with the others of its batch",
        ),
        "label_smoothing_factor": (args.label_smoothing_factor, "positives are movies, not classes"),
        "batch_eval_metrics": (args.batch_eval_metrics, "metrics are those of the whole pool"),
        "eval_do_concat_batches": (not args.eval_do_concat_batches, "metrics are those of the whole pool"),
        "chunk_size": (chunk_size is not None and chunk_size < 1, "a chunk holds at least one pair"),
        "layer_decay": (layer_decay is not None and not 0 < layer_decay <= 1, "it lies between 0 and 1"),
    }
    for name, (refused, reason) in reasons.items():
        if refused:
            raise ValueError(f"This value of {name} cannot be used: {reason}.")
