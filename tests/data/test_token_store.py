import gc
import os

import numpy as np
import pytest
import torch

from l2l_rnn.data import SequenceDataset
from l2l_rnn.data.token_store import TokenStore

IDS = np.arange(1, 25).reshape(6, 4)


@pytest.mark.parametrize("in_a_file", [False, True])
@pytest.mark.parametrize(
    ("size", "dtype"),
    [(25, torch.int16), (2**15, torch.int16), (2**15 + 1, torch.int32), (None, torch.int32)],
)
def test_rows_have_the_smallest_integer_type(in_a_file, size, dtype, tmp_path):
    store = TokenStore(6, 4, size, tmp_path / "made" if in_a_file else None)
    for part in np.split(IDS, [1, 3]):
        store.append(part)
    tensor = store.tensor(width=3)
    assert tensor.dtype == dtype
    assert tensor.tolist() == IDS[:, :3].tolist()
    assert not list(tmp_path.rglob("*.npy"))


def test_the_tensor_outlives_the_store(tmp_path):
    store = TokenStore(6, 4, 25, tmp_path)
    store.append(IDS)
    dataset = SequenceDataset(store.tensor(4), torch.arange(6) // 2)
    del store
    gc.collect()
    assert dataset[5][0].tolist() == IDS[5].tolist()
    assert dataset.draw(2, 1, 1).support_x.dtype == torch.int64


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot unlink an open file")
def test_the_file_is_unlinked_immediately(tmp_path):
    store = TokenStore(6, 4, 25, tmp_path)
    assert not list(tmp_path.iterdir())
    store.append(IDS)
    assert store.tensor(4).tolist() == IDS.tolist()
    store.discard()
    store.discard()
    assert not list(tmp_path.iterdir())
