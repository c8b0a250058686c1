"""What a gate may ask of a run, and what each check of behaviour is the share of."""

from trainworks.release.measures import Measure

BEHAVIOUR: dict[str, str] = {
    "consistency": "share of inputs embedded the same alone, in a batch, in another order and in another process",
    "flip": "share of test pictures whose mirror image keeps most of its first answers",
    "rotation": "share of test pictures that, turned by a few degrees, keep most of their first answers",
    "reencoding": "share of test pictures that, saved anew as JPEG, keep most of their first answers",
    "rescaling": "share of test pictures that, made smaller or larger, keep most of their first answers",
    "border": "share of test pictures that, with a white border, keep most of their first answers",
    "case": "share of queries that, in upper or lower case, keep most of their first answers",
    "tag_order": "share of tag queries that, in another order, keep most of their first answers",
    "plural": "share of queries that, with a word in singular or plural, keep most of their first answers",
    "synonyms": "share of queries that, with a word by its synonym, keep most of their first answers",
    "noise": "share of test pictures that, with noise added, keep most of their first answers",
    "blur": "share of test pictures that, blurred, keep most of their first answers",
    "typos": "share of queries that, with a typo, keep most of their first answers",
    "contrast": "share of texts that score higher for their own picture than with an attribute swapped, such as 'blue car' for 'red car'",
    "monotonicity": "share of queries whose right picture scores no lower with one more true tag",
    "int8_agreement": "share of queries whose 8-bit embedding keeps most of the first answers of the fp32 one",
}
"""Behaviour check → what its rate, 0 to 1, is the share of."""

MEASURES: dict[str, Measure] = {
    "recall": Measure("at least", "text-to-image R@10 on the test gallery"),
    "gain": Measure("at least", "R@10 gained over the untouched backbone", least=-1),
    "regression": Measure("at most", "R@10 lost against the current release, with 95 % confidence", least=-1),
    "forgetting": Measure("at most", "R@10 that the worst kind of query lost against the untouched backbone", least=-1),
    "parity": Measure("at most", "largest absolute difference between the torch and the ONNX encoders"),
    "int8_loss": Measure("at most", "R@10 that the worse 8-bit encoder in the bundle loses against fp32", least=-1),
    "rejected": Measure("at most", "share of the catalogue's pictures that prepare rejected"),
    **{name: Measure("at least", meaning) for name, meaning in BEHAVIOUR.items()},
}
"""Measure → what a gate on it means. Recalls and rates are shares, 0 to 1."""
