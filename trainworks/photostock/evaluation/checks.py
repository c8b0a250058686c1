"""The checks of behaviour, in their order."""

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
