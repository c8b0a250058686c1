"""Every term of the loss equals a slow reference written from its formula, and keeps the laws that make it a loss."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from trainworks.photostock.training import losses
from trainworks.photostock.training.loss_terms import TERMS
from trainworks.photostock.training.losses import Loss

EVERY = Loss("clip + 0.5*siglip + 0.2*distill + 2*tags + 3*invariance")

captions = st.lists(st.integers(0, 3), min_size=1, max_size=7)
seeds = st.integers(0, 1000)


def unit(*shape):
    """Random rows of length 1."""
    return normalize(torch.randn(*shape), dim=-1)


def drawn(caption, seed, scale=10.0):
    """A random batch with all that any term needs; pictures of caption 0 have no tags."""
    torch.manual_seed(seed)
    caption = torch.tensor(caption)
    batch = {"image_BD": unit(len(caption), 5), "text_BD": unit(len(caption), 5), "scale": torch.tensor(scale), "caption_B": caption}
    has = (torch.rand(len(caption), 6) < 0.4) & (caption != 0)[:, None]
    teacher = unit(len(caption), 3), unit(len(caption), 3), torch.tensor(7.0)
    changed = unit(len(caption), 5), unit(len(caption), 5)
    return batch | {"bias": torch.tensor(-2.0), "teacher": teacher, "tagged": (unit(6, 5), has), "changed": changed}


def softmax(row):
    """Probabilities from a list of logits."""
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def similarities(queries, answers, scale):
    """Scaled similarities, as lists."""
    return [[float(scale) * sum(a * b for a, b in zip(q, k, strict=True)) for k in answers.tolist()] for q in queries.tolist()]


def mean(values):
    """Their mean; 0 of none."""
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def slow_clip(image_BD, text_BD, scale, caption_B, **_):
    """Row by row: minus the mean log probability of the right answers."""

    def side(queries, answers):
        rows = [softmax(row) for row in similarities(queries, answers, scale)]
        right = [[j for j, other in enumerate(caption_B) if other == own] for own in caption_B]
        return mean(mean(-math.log(row[j]) for j in answers) for row, answers in zip(rows, right, strict=True))

    return (side(image_BD, text_BD) + side(text_BD, image_BD)) / 2


def slow_siglip(image_BD, text_BD, scale, caption_B, bias, **_):
    """Pair by pair: minus the log probability of the right yes or no."""
    total = 0.0
    for i, row in enumerate(similarities(image_BD, text_BD, scale)):
        for j, logit in enumerate(row):
            yes = 1 / (1 + math.exp(-(logit + float(bias))))
            total -= math.log(yes if caption_B[i] == caption_B[j] else 1 - yes)
    return total / len(image_BD)


def slow_distill(image_BD, text_BD, scale, teacher, **_):
    """Row by row: the Kullback-Leibler divergence from the student to the teacher."""

    def side(pair, teacher_pair):
        student, teacher = (map(softmax, similarities(*p)) for p in (pair, teacher_pair))
        return mean(sum(t * math.log(t / s) for s, t in zip(*rows, strict=True)) for rows in zip(student, teacher, strict=True))

    image, text, own = teacher
    return (side((image_BD, text_BD, scale), (image, text, own)) + side((text_BD, image_BD, scale), (text, image, own))) / 2


def slow_tags(image_BD, scale, tagged, **_):
    """Picture by picture: minus the mean log probability of its tags; a picture without any does not count."""
    tag, has = tagged
    rows = [softmax(row) for row in similarities(image_BD, tag, scale)]
    return mean(mean(-math.log(row[t]) for t in own.nonzero()) for row, own in zip(rows, has, strict=True) if own.any())


def slow_invariance(image_BD, text_BD, changed, **_):
    """Row by row: 1 − cosine with the same row after the change, of pictures and of texts."""

    def side(whole, changed):
        return mean(1 - sum(a * b for a, b in zip(*rows, strict=True)) for rows in zip(whole.tolist(), changed.tolist(), strict=True))

    return side(image_BD, changed[0]) + side(text_BD, changed[1])


SLOW = {"clip": slow_clip, "siglip": slow_siglip, "distill": slow_distill, "tags": slow_tags, "invariance": slow_invariance}


@pytest.mark.parametrize("term", TERMS)
@given(captions, seeds)
def test_every_term_equals_its_formula(term, caption, seed):
    """Any pattern of shared captions and tags, random unit vectors."""
    batch = drawn(caption, seed)
    assert EVERY(**batch)[term].item() == pytest.approx(SLOW[term](**batch), abs=1e-4)


@given(captions, seeds)
def test_the_loss_is_the_weighted_sum(caption, seed):
    """Terms come without their weights, beside the sum that training minimises."""
    values = EVERY(**drawn(caption, seed))
    assert set(values) == {*TERMS, "loss"}
    assert values["loss"].item() == pytest.approx(sum(weight * values[term].item() for term, weight in EVERY.terms.items()), abs=1e-4)


def test_a_term_that_is_not_named_needs_nothing():
    """InfoNCE alone asks for no bias, no teacher and no tags."""
    batch = drawn([0, 1, 2], seed=0)
    values = Loss("clip")(*(batch[name] for name in ("image_BD", "text_BD", "scale", "caption_B")))
    assert set(values) == {"clip", "loss"}


@given(captions, seeds, st.randoms())
def test_the_order_of_a_batch_does_not_matter(caption, seed, random):
    """Rows, and columns of tags, may come in any order: gathering over ranks cannot change the loss."""
    batch = drawn(caption, seed)
    rows, columns = (torch.tensor(random.sample(range(n), n)) for n in (len(caption), 6))
    image, text, scale = batch["teacher"]
    tag, has = batch["tagged"]
    shuffled = batch | {name: batch[name][rows] for name in ("image_BD", "text_BD", "caption_B")}
    shuffled |= {"teacher": (image[rows], text[rows], scale), "tagged": (tag[columns], has[rows][:, columns])}
    shuffled["changed"] = tuple(part[rows] for part in batch["changed"])
    for term, value in EVERY(**batch).items():
        assert EVERY(**shuffled)[term].item() == pytest.approx(value.item(), abs=1e-4)


@pytest.mark.parametrize("term", ["clip", "siglip"])
@given(st.integers(2, 6), seeds, st.floats(0.05, 1))
def test_a_right_pair_that_comes_closer_costs_less(term, size, seed, step):
    """Texts at right angles, pictures between them: a picture that moves to its own text leaves the others behind."""
    torch.manual_seed(seed)
    text, image = torch.eye(size), normalize(torch.rand(size, size) + 0.01, dim=1)
    closer = image.clone()
    closer[0] = normalize(image[0] + step * text[0], dim=0)
    before, after = (Loss(term)(x, text, torch.tensor(5.0), torch.arange(size), bias=torch.tensor(-1.0))["loss"] for x in (image, closer))
    assert after < before


@given(captions, seeds)
def test_distill_rests_where_training_starts(caption, seed):
    """A student that equals its teacher costs nothing and is pulled nowhere."""
    batch = drawn(caption, seed)
    image, text, scale = (batch[name].requires_grad_() for name in ("image_BD", "text_BD", "scale"))
    loss = losses.distill(image, text, scale, image, text, scale)
    loss.backward()
    assert abs(loss.item()) < 1e-6
    assert all(part.grad.abs().max() < 1e-5 for part in (image, text, scale))


@given(captions, seeds)
def test_invariance_rests_where_a_change_moves_nothing(caption, seed):
    """And pulls a picture and its changed self together where it moves them, however much it counts."""
    batch = drawn(caption, seed)
    pair = {"image_BD": batch["image_BD"], "text_BD": batch["text_BD"]}
    still = Loss("clip + 30*invariance")(**batch | {"changed": tuple(pair.values())})
    assert still["invariance"] == 0 and still["loss"] == Loss("clip")(**batch)["loss"]
    moved = [part.requires_grad_() for part in batch["changed"]]
    before = losses.invariance(*pair.values(), *moved)
    before.backward()
    closer = [normalize(part.detach() - 0.1 * part.grad, dim=1) for part in moved]
    assert losses.invariance(*pair.values(), *closer) < before


def test_no_gradient_reaches_the_teacher():
    """The untouched model stays untouched."""
    batch = drawn([1, 2, 3], seed=0)
    student, teacher = unit(3, 5).requires_grad_(), unit(3, 5).requires_grad_()
    losses.distill(student, batch["text_BD"], batch["scale"], teacher, batch["text_BD"], batch["scale"]).backward()
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


def test_pictures_of_the_same_caption_do_not_repel():
    """With one caption for all, indifferent towers are already at the optimum: no gradient."""
    text = normalize(torch.ones(3, 4), dim=1)
    image = normalize(torch.ones(3, 4), dim=1).requires_grad_()
    losses.clip(image, text, torch.tensor(10.0), torch.zeros(3, dtype=torch.long)).backward()
    assert image.grad.abs().max() < 1e-6


def test_a_tag_in_two_columns_is_no_wrong_answer_to_itself():
    """Two ranks may bring the same tag: an image that prefers both columns is better than one that prefers one."""
    tag, has = torch.eye(3)[[0, 0, 1]], torch.tensor([[True, True, False]])
    both, wrong = (losses.tags(image, torch.tensor(5.0), tag, has) for image in torch.eye(3)[:2, None])
    assert both.item() == pytest.approx(-math.log(1 / (2 + math.exp(-5))), abs=1e-5)
    assert both < wrong


@given(captions, seeds, st.sampled_from([1.0, 14.3, 100.0]))
def test_no_bias_up_to_minus_ten_costs_less_than_the_initial_one(caption, seed, scale):
    """siglip is convex in its bias: a step to either side shows the least, and −10 is the highest start."""
    batch = drawn(caption, seed, scale)
    pair = batch["image_BD"], batch["text_BD"], batch["scale"]
    bias = losses.initial_bias(*pair, batch["caption_B"])
    least, lower, higher = (losses.siglip(*pair, bias + step, batch["caption_B"]) for step in (0, -0.5, 0.5))
    assert bias <= -10
    assert lower > least - 1e-4
    assert bias == -10 or higher > least - 1e-4


def test_the_initial_bias_of_constant_towers_has_a_closed_form():
    """64 equal similarities of 100: each pair should be right with probability 1/64, so the bias is logit(1/64) − 100."""
    one = normalize(torch.ones(64, 4), dim=1)
    bias = losses.initial_bias(one, one, torch.tensor(100.0), torch.arange(64))
    assert bias.item() == pytest.approx(-math.log(63) - 100, abs=1e-4)


@pytest.mark.parametrize("caption", [[0], [1], [1, 1, 1], [0, 0, 0], [1, 2, 3]], ids=str)
@pytest.mark.parametrize("image", ["identical", "opposite", "random"])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_gradients_stay_finite(caption, image, scale):
    """One pair, equal captions, no tags at all, towers that have collapsed or are wrong beyond doubt."""
    batch = drawn(caption, seed=0, scale=scale)
    one = unit(1, 5).expand(len(caption), 5)
    if image != "random":
        batch |= {"text_BD": one.clone(), "image_BD": one.clone() if image == "identical" else -one}
    batch["bias"] = losses.initial_bias(*(batch[name] for name in ("image_BD", "text_BD", "scale", "caption_B")))
    learning = [batch[name].requires_grad_() for name in ("image_BD", "text_BD", "scale", "bias")] + [batch["tagged"][0].requires_grad_()]
    values = EVERY(**batch)
    values["loss"].backward()
    assert all(value.isfinite() for value in (batch["bias"], *values.values()))
    assert all(part.grad.isfinite().all() for part in learning)


def test_a_batch_without_tags_costs_nothing_and_still_goes_back():
    """No column at all: the term is 0 and the other terms learn."""
    image = unit(3, 5).requires_grad_()
    loss = losses.tags(image, torch.tensor(10.0), torch.zeros(0, 5), torch.zeros(3, 0, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert image.grad.abs().max() == 0


def test_every_term_stays_fp32_under_bf16():
    """Embeddings that differ by less than bf16 resolves still get their exact loss."""
    image = normalize(torch.eye(4) + 1e-3 * torch.arange(16.0).view(4, 4), dim=1)
    scale, has = torch.tensor(100.0), torch.eye(4).bool()
    batch = {
        "bias": torch.tensor(-50.0),
        "teacher": (image, image.flip(0), scale),
        "tagged": (image, has),
        "changed": (image.flip(0), image),
    }
    exact = EVERY(image, image, scale, torch.arange(4), **batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = EVERY(image, image, scale, torch.arange(4), **batch)
    assert {value.dtype for value in mixed.values()} == {torch.float32}
    assert mixed == exact
