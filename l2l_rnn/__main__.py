"""The command `l2l-rnn`, as `python -m l2l_rnn`."""

import sys

from l2l_rnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
