"""Order and chance depend on (seed, epoch, item) and on nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from trainworks import sampling


@given(st.integers(0, 200), st.integers(0, 2**31), st.integers(0, 100))
def test_an_epoch_visits_everything_once(n, seed, epoch):
    """The order is a permutation, the same whenever it is asked for."""
    order = sampling.order(n, seed, epoch)
    assert sorted(order) == list(range(n))
    assert (order == sampling.order(n, seed, epoch)).all()


def test_epochs_and_seeds_differ():
    """Neither the next epoch nor another seed repeats the order."""
    orders = {tuple(sampling.order(20, seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}
    assert len(orders) == 4


def test_chance_is_each_items_own():
    """What one picture draws does not depend on which pictures were drawn before."""
    alone = sampling.chance(1, 2, "cat.png").integers(1000)
    sampling.chance(1, 2, "dog.png").integers(1000)
    assert sampling.chance(1, 2, "cat.png").integers(1000) == alone
    assert len({sampling.chance(1, epoch, "cat.png").integers(1_000_000) for epoch in range(10)}) == 10
