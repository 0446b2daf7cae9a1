"""What other processes do with a store in the tests: `python store_process.py FILE TASK …`."""

import itertools
import sys

from models import make_model, texts  # beside this file; a package may have the name `tests`

from l2l_rnn.estimators import UserStore


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(path: str, task: str, *arguments: str) -> None:
    store = UserStore(path, make_model("prior"), keep_examples=task != "state")
    say("ready")
    if task == "add":  # the same user, one example at a time
        name, count = arguments
        for number in range(int(count)):
            store.partial_fit("shared", [f"{name}{'ab'[number % 2]}"], [name])
    if task in ("forever", "state"):  # until it is killed; acknowledged numbers are printed
        X, y = texts(each=2)
        for number in itertools.count():
            store.partial_fit("user", [X[number % len(X)]], [y[number % len(X)]])
            store.partial_fit_many({f"a{number}": (X, y), f"b{number}": (X, y)})
            say(number)
    if task == "hold":
        with store._database.writing():
            say("holding")
            sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
