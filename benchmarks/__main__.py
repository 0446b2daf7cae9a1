"""Few-shot experiments: `python -m benchmarks list`, `run NAME` and `redraw NAME`."""

from __future__ import annotations

if __name__ == "__main__":
    from benchmarks.interruption import interruption

    interruption.install()  # before imports that take seconds

    import sys

    from benchmarks.command_line import main

    sys.exit(main())
