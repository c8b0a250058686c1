"""The checks of behaviour, in their order."""

BEHAVIOUR: dict[str, str] = {
    "consistency": "share of series forecast the same alone, among all, in another order and in another process",
    "renamed": "share of series that, with their sales under one unknown name or another, are forecast the same",
    "price_up": "share of series none of whose quantiles rises when the planned price does",
    "promotion": "share of series none of whose quantiles falls when a promotion is planned",
    "promotion_gone": "share of promoted series expected to sell less when the promotion is taken out of the plan",
    "currency": "share of series forecast the same when all prices are told in another currency",
    "unit": "share of series whose mean grows tenfold, within a twentieth, when all that was sold does",
    "noise": "share of series whose mean moves by at most half of what is added to the newest period",
    "ordered": "share of forecasts with finite quantiles, none negative, each at least the one below it",
    "unknown": "share of unknown products and stores that are flagged and forecast between half the least and twice the most of all",
    "dead": "share of series forecast at most a tenth of what they were after they sold nothing for a year",
    "coherent": "share of products whose means add up, over stores and periods ahead, to within a third of what was then sold",
}
"""Behaviour check → what its rate, 0 to 1, is the share of."""
