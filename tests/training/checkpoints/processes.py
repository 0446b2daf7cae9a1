"""Child processes that start at once, because they import nothing."""

import os
import traceback


def forked(act):
    """Run a function in a child process and return its id; it exits with 0, or 1 after an error."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        act()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
