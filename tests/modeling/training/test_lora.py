from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from modeling import PosterCLIPModel
from modeling.training.lora import add_lora, load_adapter, merge, merged_state_dict, save_adapter
from tests.elsewhere import run_without_clone
from tests.modeling.runs import tiny_trainer
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model, tiny_model_in_modes, train_on_one_batch

# Every encoder of the matrix once on its side.
PAIRS = [(vision, list(TEXT)[i % len(TEXT)]) for i, vision in enumerate(VISION)]


def copied(model: PosterCLIPModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def trained(vision: str = "vit", text: str = "bert", modes: str = "lora,lora") -> tuple[PosterCLIPModel, list[float]]:
    """A model after a few steps, in eval, and the losses of the way there."""
    model = tiny_model_in_modes(vision, text, modes).train()
    losses = train_on_one_batch(model, tiny_batch(), steps=6, learning_rate=1e-2)
    return model.eval(), losses


@torch.no_grad()
def outputs(model: PosterCLIPModel) -> dict[str, torch.Tensor]:
    return dict(model.eval()(**tiny_batch()))


@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_new_adapters_change_nothing(vision, text):
    assert_equal(outputs(tiny_model_in_modes(vision, text, "lora,lora")), outputs(tiny_model(vision, text)))


@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_adapters_projections_and_temperature_train_and_nothing_else(vision, text):
    before = copied(tiny_model_in_modes(vision, text, "lora,lora"))
    model, losses = trained(vision, text)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    adapters = {name for name in before if ".lora_" in name}
    assert adapters and moved == adapters | {"visual_projection.weight", "text_projection.weight", "logit_scale"}
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_the_merged_weights_are_those_of_a_plain_model_that_computes_the_same(vision, text, tmp_path):
    model, _ = trained(vision, text)
    before, expected = copied(model), outputs(model)
    merged = merged_state_dict(model)
    assert_equal(copied(model), before)
    model.save_pretrained(tmp_path, state_dict=dict(merged))
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    assert merged.keys() == load_file(tmp_path / "model.safetensors").keys() == loaded.state_dict().keys()
    torch.testing.assert_close(outputs(loaded), expected, atol=1e-5, rtol=1e-4)
    start = outputs(tiny_model(vision, text))
    assert (expected["logits_per_image"] - start["logits_per_image"]).abs().max() > 0.01

    merge(model)
    assert_equal(model.state_dict(), merged)
    assert_equal(outputs(model), outputs(loaded))
    add_lora(model.vision_model, rank=2)  # a plain model, to which adapters can be added again


def test_a_merged_matrix_is_the_base_and_twice_the_product():
    model, _ = trained()
    layer = model.text_model.encoder.layer[1].output.dense
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = tiny_model().text_model.encoder.layer[1].output.dense.weight + 2 * b @ a
    torch.testing.assert_close(merged_state_dict(model)["text_model.encoder.layer.1.output.dense.weight"], expected)


@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_saved_adapters_are_loaded_exactly_with_and_without_adapters_in_the_model(vision, text, tmp_path):
    model, _ = trained(vision, text)
    save_adapter(model, tmp_path)
    expected = outputs(model)
    for again in (tiny_model(vision, text), tiny_model_in_modes(vision, text, "lora,lora")):
        load_adapter(again, tmp_path)
        assert_equal(again.state_dict(), model.state_dict())
        assert_equal(outputs(again), expected)
        for encoder in (again.vision_model, again.text_model):
            assert all(weight.requires_grad == (".lora_" in name) for name, weight in encoder.named_parameters())


@pytest.mark.parametrize("modes", ["lora,frozen", "lora,last-1", "full,lora"])
def test_an_adapter_folder_holds_what_trained_and_no_more(modes, tmp_path):
    before = copied(tiny_model_in_modes("resnet", "bert", modes))
    model, _ = trained("resnet", "bert", modes)
    save_adapter(model, tmp_path)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    held = set(load_file(tmp_path / "model.safetensors"))
    for name in ("vision_model", "text_model"):
        if (tmp_path / name).exists():
            weights = load_file(tmp_path / name / "adapter_model.safetensors")
            held |= {f"{name}.{key.removeprefix('base_model.model.')[:-7]}.default.weight" for key in weights}
    assert held == moved
    again = tiny_model("resnet", "bert")
    load_adapter(again, tmp_path)
    assert_equal(outputs(again), outputs(model))


def test_peft_reads_the_adapter_of_an_encoder(tmp_path):
    model, _ = trained()
    save_adapter(model, tmp_path)
    encoder = PeftModel.from_pretrained(tiny_model().vision_model, tmp_path / "vision_model").eval()
    pixels = tiny_batch()["pixel_values"]
    with torch.no_grad():
        expected, found = (encoder(pixel_values=pixels).last_hidden_state for encoder in (model.vision_model, encoder))
    assert torch.equal(expected, found)
    assert 'base_model_name_or_path": null' in (tmp_path / "vision_model" / "adapter_config.json").read_text()


def test_a_folder_that_is_written_anew_forgets_the_adapters_of_before(tmp_path):
    save_adapter(trained()[0], tmp_path)
    model, _ = trained(modes="frozen,lora")
    save_adapter(model, tmp_path)
    again = tiny_model()
    load_adapter(again, tmp_path)
    assert_equal(again.state_dict(), model.state_dict())


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "has no adapter"),
        (lambda folder: damaged(folder / "model.safetensors"), r"model\.safetensors cannot be read"),
        (lambda folder: damaged(folder / "text_model/adapter_model.safetensors"), r"text_model.*cannot be read"),
        (lambda folder: damaged(folder / "text_model/adapter_config.json"), r"adapter_config\.json cannot be read"),
        (lambda folder: (folder / "text_model/adapter_model.safetensors").unlink(), r"text_model.*cannot be read"),
    ],
)
def test_an_incomplete_folder_is_named(change, words, tmp_path):
    save_adapter(tiny_model_in_modes("vit", "bert", "lora,lora"), tmp_path)
    change(tmp_path)
    with pytest.raises(ValueError, match=words):
        load_adapter(tiny_model(), tmp_path)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            lambda: tiny_model(projection_dim=4),
            r"projection\.weight is \(8, 16\), but \(4, 16\) in the model",
        ),
        (lambda: tiny_model(text="distilbert"), "text_model does not fit"),
        (lambda: tiny_model(text="modernbert"), "text_model does not fit"),
        (lambda: tiny_model_in_modes("vit", "bert", "lora,lora"), "no adapter of vision_model"),
    ],
)
def test_an_adapter_of_another_model_is_refused_by_what_does_not_fit(model, words, tmp_path):
    save_adapter(tiny_model_in_modes("vit", "bert", "last-1,lora"), tmp_path)
    with pytest.raises(ValueError, match=words):
        load_adapter(model(), tmp_path)


def test_an_adapter_of_another_rank_is_refused(tmp_path):
    save_adapter(tiny_model_in_modes("vit", "bert", "lora,frozen"), tmp_path)
    model = tiny_model()
    add_lora(model.vision_model, rank=3)
    with pytest.raises(ValueError, match="rank 4 and alpha 8; the model has 3 and 6"):
        load_adapter(model, tmp_path)


def test_a_folder_without_adapters_is_named(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no adapter"):
        load_adapter(tiny_model(), tmp_path)


def test_adapters_cannot_be_added_twice():
    model = tiny_model_in_modes("vit", "bert", "lora,full")
    with pytest.raises(ValueError, match="'vit' has adapters already"):
        add_lora(model.vision_model, rank=2)


def test_a_convolution_that_peft_would_compute_otherwise_is_left_out():
    model = tiny_model("resnet").eval()
    convolution = model.vision_model.encoder.stages[1].layers[0].layer[1].convolution
    convolution.dilation = convolution.padding = (2, 2)
    expected = outputs(model)
    add_lora(model.vision_model, rank=2)
    assert_equal(outputs(model), expected)
    assert model.vision_model.encoder.stages[1].layers[0].layer[1].convolution is convolution


def test_what_is_frozen_does_not_drop_and_adapted_blocks_do():
    model = tiny_model_in_modes("vit", "bert", "frozen,lora").train()
    assert not any(module.training for module in model.vision_model.modules())
    embeddings, block = model.text_model.embeddings, model.text_model.encoder.layer[0]
    assert not embeddings.dropout.training and block.output.dropout.training


def test_a_16_bit_encoder_has_adapters_of_32_bits_and_is_merged_to_16(tmp_path):
    model = tiny_model().to(torch.bfloat16)
    add_lora(model.vision_model, rank=4)
    model.train()(**tiny_batch(), return_loss=True).loss.backward()
    adapters = {name: weight for name, weight in model.named_parameters() if ".lora_" in name}
    assert all(weight.dtype == torch.float32 for weight in adapters.values())
    assert all(weight.grad is not None for weight in adapters.values())
    again = tiny_model().to(torch.bfloat16)
    merged, plain = merged_state_dict(model), again.state_dict()
    assert {name: weight.dtype for name, weight in merged.items()} == {name: of.dtype for name, of in plain.items()}
    assert merged["vision_model.embeddings.cls_token"].dtype == torch.bfloat16
    save_adapter(model, tmp_path)
    load_adapter(again, tmp_path)
    assert_equal(outputs(again), outputs(model))


def test_gradient_checkpointing_changes_nothing():
    plain, checkpointed = (tiny_model_in_modes("vit", "modernbert", "lora,lora") for _ in range(2))
    checkpointed.gradient_checkpointing_enable()
    for model in (plain, checkpointed):
        model.train()(**tiny_batch(), return_loss=True).loss.backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), checkpointed.named_parameters(), strict=True):
        if one.requires_grad:
            torch.testing.assert_close(one.grad, other.grad, msg=name)


@pytest.mark.slow
def test_a_run_leaves_a_plain_model_that_loads_without_the_clone_and_peft(tmp_path):
    root, empty, expected = tmp_path / "saved", tmp_path / "empty", {}
    for vision, text in PAIRS:
        trainer = tiny_trainer(
            tiny_model_in_modes(vision, text, "lora,lora"),
            root / f"{vision}-{text}",
            max_steps=2,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
        )
        trainer.train()
        trainer.save_model()
        expected[vision, text] = outputs(trainer.model)

    torch.save(tiny_batch(), root / "inputs.pt")
    empty.mkdir()
    run_without_clone(
        Path(__file__).parents[1] / "posterclip" / "load_elsewhere.py", str(root), cwd=empty, cache=tmp_path / "cache"
    )
    for (vision, text), output in expected.items():
        folder = root / f"{vision}-{text}"
        torch.testing.assert_close(torch.load(folder / "AutoModel.pt"), output, atol=1e-5, rtol=1e-4)
        again = tiny_model(vision, text)
        load_adapter(again, folder / "adapter")
        assert_equal(outputs(again), output)


def test_an_adapter_goes_onto_the_weights_that_it_was_trained_on_and_no_others(tmp_path):
    model = tiny_model_in_modes("vit", "bert", "lora,frozen")
    save_adapter(model, tmp_path)
    load_adapter(tiny_model("vit", "bert"), tmp_path)
    with pytest.raises(ValueError, match=r"vision_model does not fit: it was trained with other base weights"):
        load_adapter(tiny_model("vit", "bert", seed=1), tmp_path)


def test_a_model_with_adapters_is_not_saved_as_a_folder_that_nothing_could_load(tmp_path):
    model = tiny_model_in_modes("vit", "bert", "lora,frozen")
    with pytest.raises(ValueError, match="merge them"):
        model.save_pretrained(tmp_path / "model")
    merge(model)
    model.save_pretrained(tmp_path / "model")
    assert PosterCLIPModel.from_pretrained(tmp_path / "model")
