from hypothesis import given
from hypothesis import strategies as st

from apanet_core.training.sampling import EpochSampler


def test_epoch_sampler_visits_every_index_once_from_any_start():
    order = list(EpochSampler(7, 0, 21, seed=3))
    assert [sorted(order[i : i + 7]) for i in (0, 7, 14)] == [list(range(i, i + 7)) for i in (0, 7, 14)]
    assert order[:7] != [number - 7 for number in order[7:14]]
    for first in (1, 7, 16):
        assert list(EpochSampler(7, first, 21, seed=3)) == order[first:]


@given(batch_size=st.integers(1, 4), processes=st.integers(1, 4), steps=st.integers(1, 6), first=st.integers(0, 5))
def test_epoch_sampler_processes_share_batches_of_single_process(batch_size, processes, steps, first):
    first = min(first, steps)
    a_step = batch_size * processes
    run = (23, first * a_step, steps * a_step, 3)
    shares = [list(EpochSampler(*run, batch_size, rank, processes)) for rank in range(processes)]
    assert all(len(share) == (steps - first) * batch_size for share in shares)
    together = [
        index
        for step in range(steps - first)
        for share in shares
        for index in share[step * batch_size : (step + 1) * batch_size]
    ]
    assert together == list(EpochSampler(*run))
