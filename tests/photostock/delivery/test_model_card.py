"""The model card says what a user asks, and a hub can read it."""

import pytest
from huggingface_hub import ModelCard

from tests.photostock import toy_encoders, toy_run
from trainworks.photostock.delivery.model_card import model_card
from trainworks.release import gates

FACTS = {"commit": "0123abc", "data": "d4ta", "seed": 5}


@pytest.fixture(scope="module")
def metrics():
    """Of the toy run, with an interval and three behaviour checks, one of which found no case."""
    recall = {**toy_run.METRICS["finetuned"]["text_to_image"], "interval": {"R@10": [0.29, 0.47]}}
    finetuned = {**toy_run.METRICS["finetuned"], "text_to_image": recall}
    queries = {"tags": {"finetuned": recall, "baseline": toy_run.METRICS["baseline"]["text_to_image"]}}
    checks = {
        "case": {"rate": 1.0, "low": 0.96, "high": 1.0, "cases": 1200, "meaning": "share of queries that survive capitals"},
        "tag_order": {"rate": 0.31, "low": 0.2, "high": 0.44, "cases": 60, "meaning": "share of queries that survive reordering"},
        "synonyms": {"rate": None, "low": None, "high": None, "cases": 0, "meaning": "share of queries that survive synonyms"},
    }
    return {**toy_run.METRICS, "finetuned": finetuned, "queries": queries, "behaviour": checks}


def card_of(metrics, card=toy_run.CARD):
    verdict = gates.verdict([gates.Gate("recall", 0.384, 0.3, "R@10")])
    return model_card(metrics, card, toy_encoders.INFERENCE, verdict, FACTS, ["image_encoder.onnx", "text_encoder.onnx"])


def test_a_hub_reads_the_numbers_back(metrics):
    """Hugging Face's own reader finds every recall in the model index, and what it needs to file the model."""
    data = ModelCard(card_of(metrics)).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("other", "onnx", "zero-shot-image-classification")
    recalls = {(result.task_name, result.metric_name): result.metric_value for result in data.eval_results}
    assert recalls == {
        (words, f"{name}, {words}"): pytest.approx(metrics["finetuned"][way][name], abs=1e-4)
        for way, words in (("text_to_image", "text to image"), ("image_to_text", "image to text"))
        for name in ("R@1", "R@5", "R@10")
    }
    assert {result.dataset_split for result in data.eval_results} == {"test"}


def test_the_front_matter_survives_the_hubs_own_writer(metrics):
    """What the hub writes of it is what the hub reads again: nothing is lost in its model index."""
    once = ModelCard(card_of(metrics))
    assert ModelCard(f"---\n{once.data.to_yaml()}\n---\n{once.text}").data.to_dict() == once.data.to_dict()


def test_the_card_tells_what_a_user_asks(metrics):
    """How to load it, how good it is and was, how it behaves, on which data, under which licences, and where it comes from."""
    card = card_of(metrics)
    for words in (
        "every gate holds",
        'Encoders.load("path/of/this/folder")',
        "`shortest(16) > center_crop(16)`",
        "100 test pictures with 100 distinct captions",
        "| text to image | 100 | 12.0 % | 27.0 % | 38.4 % (29.0 % to 47.0 %) | 2.0 % | 6.0 % | 11.7 % |",
        "| text to image, tags as query | 100 |",
        "| chance |  | 1.0 % | 5.0 % | 10.0 % |  |  |  |",
        "| tag order | 31.0 % (20.0 % to 44.0 %) | 60 | share of queries that survive reordering |",
        "| synonyms | – | 0 | share of queries that survive synonyms |",
        "| Public Domain | 1,201 |",
        "| not stated | 2 |",
        "198 contributors",
        "Commit `0123abc`, data `d4ta`, seed 5",
    ):
        assert words in card


def test_opt_outs_and_other_rejects_are_counted(metrics):
    """The card names every reason with its count."""
    acquire = {"stage": "acquire", "read": 1600, "kept": 1593, "rejected": {"excluded": 7}}
    assert "| acquire | excluded | 7 |" in card_of(metrics, {**toy_run.CARD, "stages": [acquire]})


def test_a_title_cannot_break_a_table(metrics):
    """Bars and line ends in a licence, which is a catalogue's text, stay inside their cell."""
    assert "| CC0 / public domain | 3 |" in card_of(metrics, {**toy_run.CARD, "licences": {"CC0 | public\ndomain": 3}})
