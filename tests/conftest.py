"""What all tests share."""

import torch

# The tensors of a test are small: a second thread costs more than it gives.
torch.set_num_threads(1)
