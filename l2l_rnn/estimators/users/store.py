"""Personal states of many users of one model, in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from l2l_rnn.algorithms import ProtoMAML
from l2l_rnn.checks import check_number
from l2l_rnn.errors import ArgumentError, UnknownNameError
from l2l_rnn.estimators.explanation import SupportExample
from l2l_rnn.estimators.few_shot_classifier import FewShotClassifier
from l2l_rnn.estimators.labels import Labels, checked_labels
from l2l_rnn.estimators.parameters import check_unknown_label
from l2l_rnn.estimators.personal import Personal, grown
from l2l_rnn.estimators.raw_inputs import read_inputs
from l2l_rnn.estimators.users.arguments import (
    check_mapping,
    check_pairs,
    checked_name,
    named,
    naming,
)
from l2l_rnn.estimators.users.database import UserDatabase, UserRow
from l2l_rnn.estimators.users.queries import chunks, read_users
from l2l_rnn.training import load_user, save_user
from l2l_rnn.training.saved.learner_tensors import digest_of_base
from l2l_rnn.training.saved.tensors import digest


class UserStore:
    """Keep what one model has learned from each of many users, on disk.

    The file is an SQLite database. Each call is one transaction: after an error, a killed process
    or a power failure, the file holds all acknowledged calls and nothing of others. Several threads
    and processes can use it; those that add examples of one user take turns.

    Only what a user's examples have changed is stored, such as class means or a memory, and the
    names of the classes. A state answers as it did before, to the last bit.

    Args:
        path: the file, which is created if it does not exist. Its folder must be on a local disk.
        model: as in `FewShotClassifier`. The file belongs to this model, and no other can open it.
        inputs, steps: as in `FewShotClassifier`. Steps, and the model's loss for gradient steps,
            are those of all users, and the same whenever the file is opened.
        unknown_label, unknown_above: as in `FewShotClassifier`.
        keep_examples: whether to store the examples of users too, which `explain` needs, and
            learners that adapt by gradient steps.
        timeout: how long to wait for another process that writes, in seconds.

    Raises:
        ArgumentError: a parameter is invalid, or the file belongs to another model.
        DataError: the file is damaged, or is something else.
        OSError: the file cannot be opened or written to. `TimeoutError`: it is in use.

    Example:
        >>> import pathlib, tempfile
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> from l2l_rnn.data import CharacterVocabulary
        >>> from l2l_rnn.models import SequenceEncoder
        >>> from l2l_rnn.training import TextInputs
        >>> inputs = TextInputs(CharacterVocabulary(["abcxyz"]), max_length=20)
        >>> learner = ProtoNet(SequenceEncoder(vocab_size=8, hidden_size=16), ways=5)
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = UserStore(pathlib.Path(folder.name) / "users.db", learner, inputs=inputs)
        >>> store.partial_fit("ann", ["abc", "xyz"], ["first", "last"])
        >>> store.partial_fit("bob", ["abc", "xyz"], [1, 2])
        >>> store.predict("ann", ["cab"]), store.predict_many({"bob": ["cab"]})
        (array(['first'], dtype='<U5'), {'bob': array([1])})
        >>> store.close(); folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: Any = "languages",
        *,
        inputs: Any = None,
        steps: int | None = None,
        unknown_label: Any = None,
        unknown_above: float | None = 0.99,
        keep_examples: bool = False,
        timeout: float = 30.0,
    ) -> None:
        who = "UserStore"
        timeout = check_number(who, "timeout", timeout, least=0)
        self._blank = FewShotClassifier(
            model,
            inputs=inputs,
            steps=steps,
            unknown_label=unknown_label,
            unknown_above=unknown_above,
            keep_examples=keep_examples,
        )
        self.model, self._kind = self._blank._opened(who)
        if self._kind.refits and not keep_examples:
            raise ArgumentError(
                f"{who}: keep_examples must be True for a {type(self.model.learner).__name__} with "
                "gradient steps, which adapts to all examples of a user again, got False; set it"
            )
        about = {
            "class": type(self._kind.learner).__name__,
            "learner": digest_of_base(self._kind.learner, frozenset()),
            "inputs": digest(self.model.inputs.to_json(), {}),
            **self._kind.settings,
        }
        self._database = UserDatabase(who, path, about, timeout)

    def partial_fit(self, user: str, X: Any, y: Any, classes: Any = None) -> None:
        """Add examples of a user, who may be new.

        Args:
            user: the user's name. Different Unicode forms of a name are different users.
            X, y, classes: as in `FewShotClassifier.partial_fit`.

        Raises:
            ArgumentError, ArgumentTypeError, DataError: as in `FewShotClassifier.partial_fit`. The
                user is unchanged.
            OSError: the file cannot be written to.
        """
        self._add("UserStore.partial_fit", {user: (X, y, classes)})

    def partial_fit_many(self, examples: Mapping[str, tuple[Any, Any]]) -> None:
        """Add examples `(X, y)` of several users, by name.

        Raises:
            ArgumentError, ArgumentTypeError, DataError: as in `partial_fit`. The message names the
                user. All users are unchanged.
        """
        who = "UserStore.partial_fit_many"
        check_pairs(who, "examples", examples)
        self._add(who, {user: (*pair, None) for user, pair in examples.items()})

    def predict(self, user: str, X: Any) -> Labels:
        """Return the most probable class of each input for a user, as a `FewShotClassifier` does.

        Raises:
            UnknownNameError: there is no such user.
        """
        who = "UserStore.predict"
        return self._classifier(who, user)._predict(who, X, stacklevel=4)

    def predict_proba(self, user: str, X: Any) -> Any:
        """Return the probability of each class for a user, in sorted order of the class names."""
        who = "UserStore.predict_proba"
        return self._classifier(who, user)._probabilities(who, X)

    def predict_many(self, queries: Mapping[str, Any]) -> dict[str, Labels]:
        """Return the most probable classes of the inputs of many users, at once.

        Args:
            queries: the inputs of each user, by name.

        Returns:
            The class names for each user, those of `predict` up to rounding.

        Raises:
            UnknownNameError: there is no such user.
            ArgumentError, ArgumentTypeError, DataError: as in `FewShotClassifier.predict`. The
                message names the user.
        """
        who = "UserStore.predict_many"
        check_mapping(who, "queries", queries, "{user: X}")
        self._kind.check_unchanged(who)
        rows = self._database.read_many([checked_name(who, user) for user in queries])
        missing = [user for user in queries if user not in rows]
        if missing:
            raise self._unknown_user(who, missing[0])
        inputs, users = {}, {}
        for user, X in queries.items():
            with naming(who, user):
                users[user] = Personal.of(who, rows[user].described, None, None)
                self._holding(users[user])._check_fitted(who)
                inputs[user] = read_inputs(who, self.model, X)[0]
        found: dict[str, Labels] = {}
        # Heads of different sizes cannot be stacked.
        sized = isinstance(self._kind.learner, ProtoMAML)
        for some in chunks(inputs, {u: len(one.names) * sized for u, one in users.items()}):
            for user, reading in read_users(who, self._kind, some, rows, users, inputs).items():
                one, prefix = self._holding(users[user]), named(who, user)
                found[user] = one._answers(prefix, queries[user], reading, stacklevel=3)
        return {user: found[user] for user in queries}

    def explain(self, user: str, X: Any, count: int = 3) -> list[list[SupportExample]]:
        """Return the user's examples that explain each prediction; needs `keep_examples=True`."""
        who = "UserStore.explain"
        return self._classifier(who, user, examples=True)._explain(who, X, count)

    def classifier(self, user: str, *, examples: bool = False) -> FewShotClassifier:
        """Return a fitted classifier of a user, which later calls of the store do not change.

        Args:
            user: the user's name.
            examples: whether it also holds the stored examples.

        Raises:
            UnknownNameError: there is no such user.
            DataError: the state of the user is damaged.
        """
        return self._classifier("UserStore.classifier", user, examples=examples)

    def _classifier(self, who: str, user: str, *, examples: bool = False) -> FewShotClassifier:
        self._kind.check_unchanged(who)
        row = self._database.read(checked_name(who, user), examples=examples)
        if row is None:
            raise self._unknown_user(who, user)
        return self._holding(self._personal(who, row))

    def remove(self, user: str) -> None:
        """Remove a user.

        Raises:
            UnknownNameError: there is no such user.
        """
        who = "UserStore.remove"
        with self._database.writing():
            found = self._database.remove(checked_name(who, user))
        if not found:
            raise self._unknown_user(who, user)

    def users(self) -> list[str]:
        """Return the names of all users, sorted."""
        return self._database.names()

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._database.close()

    def __len__(self) -> int:
        """Return the number of users."""
        return self._database.count()

    def __contains__(self, user: object) -> bool:
        return isinstance(user, str) and self._database.holds(user)

    def __iter__(self) -> Iterator[str]:
        return iter(self.users())

    def __enter__(self) -> UserStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _add(self, who: str, examples: Mapping[str, tuple[Any, Any, Any]]) -> None:
        self._kind.check_unchanged(who)
        read = {}
        for user, (X, y, classes) in examples.items():
            with naming(who, checked_name(who, user)):
                x, raw = read_inputs(who, self.model, X)
                every = None if classes is None else checked_labels(who, classes, name="classes")
                read[user] = x, raw, checked_labels(who, y, len(x)), every
        keep = self._blank.keep_examples
        with self._database.writing():
            rows = self._database.read_many(list(read), examples=keep)
            for user, (x, raw, labels, every) in read.items():
                row = rows.get(user)
                with naming(who, user):
                    before = Personal() if row is None else self._personal(who, row)
                    check_unknown_label(who, self._blank.unknown_label, labels)
                    after = grown(who, self._kind, before, x, raw, labels, every, keep)
                kept = None if after.examples is None else after.examples.to_bytes()
                state = save_user(after.learner, self._kind.learner)
                self._database.write(user, UserRow(after.described(), state, kept))

    def _personal(self, who: str, row: UserRow) -> Personal:
        with torch.no_grad():
            learner = self._kind.shared(load_user(self._kind.learner, row.state))
        return Personal.of(who, row.described, learner, row.examples)

    def _holding(self, personal: Personal) -> FewShotClassifier:
        blank = self._blank
        one = FewShotClassifier(**blank.get_params(deep=False))
        one._hold(self.model, self._kind, personal)
        return one

    def _unknown_user(self, who: str, user: str) -> UnknownNameError:
        # Similar names are not listed, because an error message must not show other users.
        return UnknownNameError(
            f"{who}: unknown user {user!r:.60}; the store holds {len(self)} others, see users()"
        )
