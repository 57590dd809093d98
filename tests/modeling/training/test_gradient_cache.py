import pytest
import torch

from modeling import PosterCLIPModel
from modeling.posterclip.losses import Targets
from modeling.training.gradient_cache import backward_in_chunks
from tests.tiny import tiny_batch, tiny_model, tiny_model_in_modes, tiny_titles, tiny_words

LABELS = torch.tensor([0, 1, 2, 1, 4, 5, 6])


def joint_loss(model: PosterCLIPModel):
    return lambda images, texts: model.pair_loss(images, texts, Targets(LABELS))


def gradients(model: PosterCLIPModel) -> dict[str, torch.Tensor]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def in_one(model: PosterCLIPModel) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    output = model(**tiny_batch(7))
    loss = joint_loss(model)(output.image_embeds, output.text_embeds)
    loss.backward()
    return loss.detach(), gradients(model)


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid"])
@pytest.mark.parametrize("chunk_size", [1, 3, 7, 100])
@pytest.mark.parametrize("frozen", [None, "vision_model", "text_model", "text_model.embeddings"])
def test_gradients_are_those_of_the_whole_batch(loss, chunk_size, frozen):
    models = [tiny_model("vit", "modernbert", loss=loss).double() for _ in range(2)]
    for model in models:
        model.train()
        if frozen:
            model.get_submodule(frozen).requires_grad_(False)
    whole, chunked = models
    batch = {name: value.double() if value.is_floating_point() else value for name, value in tiny_batch(7).items()}
    output = whole(**batch)
    expected = joint_loss(whole)(output.image_embeds, output.text_embeds)
    expected.backward()
    value = backward_in_chunks(chunked, batch, chunk_size, joint_loss(chunked))
    torch.testing.assert_close(value, expected.detach())
    assert_same(gradients(whole), gradients(chunked))
    assert gradients(chunked)["logit_scale"] != 0


@pytest.mark.parametrize(
    ("vision", "modes"),
    [("vit", "full,full"), ("vit", "lora,lora"), ("convnext", "lora,lora"), ("resnet", "lora,lora")],
)
@pytest.mark.parametrize("reads", [{}, {"use_poster_text": True, "char_ngram_dim": 16}], ids=["looks", "reads"])
def test_dropout_drops_the_same_in_both_forwards(vision, modes, reads):
    """The reference keeps the graph of every chunk, with the random state that the chunks see."""
    reference, chunked = (tiny_model_in_modes(vision, "bert", modes, **reads).train() for _ in range(2))
    for weight in (w for model in (reference, chunked) for n, w in model.named_parameters() if "lora_B" in n):
        torch.nn.init.constant_(weight, 0.1)  # or A would have no gradient yet
    batch = {**tiny_batch(7), **(tiny_words(7) if reads else {})}
    torch.manual_seed(3)
    outputs = [reference(**{k: v[i : i + 2] for k, v in batch.items()}) for i in range(0, 7, 2)]
    images, texts = (torch.cat([o[side] for o in outputs]) for side in ("image_embeds", "text_embeds"))
    joint_loss(reference)(images, texts).backward()
    after = torch.rand(1)
    torch.manual_seed(3)
    backward_in_chunks(chunked, batch, 2, joint_loss(chunked))
    assert_same(gradients(reference), gradients(chunked))
    assert torch.equal(after, torch.rand(1))  # and the run goes on with the random state it would have had


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid"])
@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_gradients_are_those_of_the_whole_batch_where_posters_are_read_and_titles_shown(loss, chunk_size):
    fields = {"use_poster_text": True, "char_ngram_dim": 16, "loss": loss}
    whole, chunked = (tiny_model("vit", "modernbert", **fields).double().train() for _ in range(2))
    batch = {**tiny_batch(7), **tiny_words(7), **tiny_titles(7)}
    output = whole(**batch)
    joint_loss(whole)(output.image_embeds, output.text_embeds).backward()
    backward_in_chunks(chunked, batch, chunk_size, joint_loss(chunked))
    assert_same(gradients(whole), gradients(chunked))
    assert gradients(chunked)["image_weight"] != 0 and gradients(chunked)["char_ngram_weight"] != 0


def test_autocast_gives_the_gradients_it_gives_without_chunks():
    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16)

    whole, chunked = tiny_model("vit", "modernbert").train(), tiny_model("vit", "modernbert").train()
    with autocast():
        loss, expected = in_one(whole)
    value = backward_in_chunks(chunked, tiny_batch(7), 3, joint_loss(chunked), autocast=autocast)
    torch.testing.assert_close(value, loss, atol=1e-2, rtol=1e-2)
    for name, gradient in gradients(chunked).items():
        error = (gradient - expected[name]).norm() / expected[name].norm().clamp(min=1e-3)
        assert error < 0.1, name


def test_gradients_are_added_to_those_that_are_there():
    once, twice = tiny_model("vit", "modernbert").train(), tiny_model("vit", "modernbert").train()
    backward_in_chunks(once, tiny_batch(7), 3, joint_loss(once))
    for _ in range(2):
        backward_in_chunks(twice, tiny_batch(7), 3, joint_loss(twice))
    assert_same({name: 2 * gradient for name, gradient in gradients(once).items()}, gradients(twice))


def test_batch_normalisation_in_training_is_refused_by_name():
    model = tiny_model("resnet", "bert").train()
    with pytest.raises(ValueError, match=r"vision_model\..*normalises by the batch"):
        backward_in_chunks(model, tiny_batch(7), 3, joint_loss(model))
    model.vision_model.requires_grad_(False)
    backward_in_chunks(model.train(), tiny_batch(7), 3, joint_loss(model))
