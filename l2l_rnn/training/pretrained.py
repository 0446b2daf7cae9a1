"""Learners with everything that belongs to them: saved to a folder, loaded and published."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.configuration import configuration_of
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.functional import binary_cross_entropy, cross_entropy, mean_squared_error
from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.inputs import Inputs
from l2l_rnn.training.model_card import model_card
from l2l_rnn.training.saved.construction import built, check_savable, weights_of
from l2l_rnn.training.saved.differences import refuse, tensor_differences
from l2l_rnn.training.saved.folders import CARD, CONFIG, as_path, replacing_folder
from l2l_rnn.training.saved.input_kinds import check_inputs
from l2l_rnn.training.saved.learner_tensors import check_learner
from l2l_rnn.training.saved.locations import find_model
from l2l_rnn.training.saved.model_files import DTYPES, read_config, read_weights, write_model

LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
    "binary_cross_entropy": binary_cross_entropy,
}
"""The losses that a `Pretrained` may name."""

# What is kept besides the learner and its inputs, as JSON.
_KEPT = ("classes", "steps", "loss", "settings", "evaluation", "description", "license", "tags")


class Pretrained(
    ModelHubMixin,  # type: ignore[misc, unused-ignore]
    library_name="l2l_rnn",
    tags=["few-shot-learning", "meta-learning"],
):
    """A trained learner with everything that is needed to use it.

    `save_pretrained(folder)` writes the weights as safetensors, everything else as JSON, and a
    model card. `Pretrained.from_pretrained(folder)` gives a learner with the same outputs. Nothing
    is pickled, and only classes that are `configurable` are constructed. `push_to_hub(repo_id)`
    publishes it on the Hugging Face Hub.

    Args:
        learner: the meta-learner, which has not adapted, in float32.
        inputs: a `TextInputs`, `SeriesInputs` or `PairInputs` that turns raw inputs into tensors;
            None if the learner is called with tensors only.
        classes: names of the classes that the learner was trained on.
        steps: number of adaptation steps, as in `adapted`; None for the learner's own. A `ProtoNet`
            takes none, and ignores it.
        loss: name of the loss for adaptation, `"cross_entropy"`, `"mean_squared_error"` or
            `"binary_cross_entropy"`; None chooses by the type of the targets.
        settings: other values to keep, as JSON.
        evaluation: results of `training.evaluate`, for the model card.
        description: what the learner does, for the model card, in Markdown.
        license: an identifier such as `"mit"`, for the model card.
        tags: additional tags for the model card.

    Raises:
        ArgumentTypeError: an argument has the wrong type.
        ArgumentError: the learner does not take these inputs, or has adapted.
        UnknownNameError: the loss is unknown.

    Example:
        >>> import tempfile
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> from l2l_rnn.data import CharacterVocabulary
        >>> from l2l_rnn.models import SequenceEncoder
        >>> from l2l_rnn.training import TextInputs
        >>> vocabulary = CharacterVocabulary(["a text", "another"])
        >>> learner = ProtoNet(SequenceEncoder(vocab_size=len(vocabulary)), ways=2)
        >>> model = Pretrained(learner, TextInputs(vocabulary, max_length=32))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_pretrained(f"{folder}/letters")
        ...     loaded = Pretrained.from_pretrained(f"{folder}/letters")
        >>> user = loaded.adapted(["aaa", "ttt"], [0, 1])
        >>> user(loaded.inputs(["at", "tt"])).shape
        torch.Size([2, 2])
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Pretrained:
        # The mixin would make a configuration of the arguments; this class has its own.
        return object.__new__(cls)

    def __init__(
        self,
        learner: nn.Module,
        inputs: Inputs | None = None,
        *,
        classes: Iterable[str] = (),
        steps: int | None = None,
        loss: str | None = None,
        settings: Mapping[str, Any] | None = None,
        evaluation: Iterable[Any] = (),
        description: str = "",
        license: str | None = None,
        tags: Iterable[str] = (),
    ) -> None:
        who = "Pretrained"
        check_learner(who, learner)
        if inputs is not None and not isinstance(inputs, Inputs):
            raise ArgumentTypeError(
                f"{who}: inputs must be a TextInputs, SeriesInputs or PairInputs, got "
                f"{type(inputs).__name__}; wrap a text pipeline as TextInputs(pipeline, max_length)"
            )
        check_inputs(who, learner, inputs)
        for name, value in {"classes": classes, "tags": tags}.items():
            if isinstance(value, str):
                raise ArgumentTypeError(f"{who}: {name} must be a list, got one str; pass [name]")
        self.learner: Any = learner
        self.inputs: Any = inputs
        self.classes = list(map(str, classes))
        self.steps = None if steps is None else check_int(who, "steps", steps)
        self.loss = None if loss is None else check_choice(who, "loss", loss, LOSSES)
        self.settings: dict[str, Any] = dict(settings or {})
        self.evaluation: list[dict[str, Any]] = [
            one.to_json() if hasattr(one, "to_json") else one for one in evaluation
        ]
        if not all(isinstance(one, dict) for one in self.evaluation):
            raise ArgumentTypeError(
                f"{who}: evaluation must be a list of evaluations, got "
                f"{[type(one).__name__ for one in self.evaluation]}; pass those of "
                "training.evaluate"
            )
        self.description = str(description)
        self.license = license
        self.tags = list(map(str, tags))

    def __repr__(self) -> str:
        return f"Pretrained({type(self.learner).__name__}, {self.inputs!r})"

    @property
    def loss_function(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The loss for adaptation, or None to choose it by the type of the targets."""
        return None if self.loss is None else LOSSES[self.loss]

    @property
    def device(self) -> torch.device:
        """The device of the learner's parameters."""
        return next((p.device for p in self.learner.parameters()), torch.device("cpu"))

    def adapted(self, raw: Any, y: Any, **options: Any) -> Any:
        """Return a clone of the learner, adapted to labeled raw inputs.

        Args:
            raw: the support inputs, as `inputs` takes them, or tensors if `inputs` is None.
            y: their classes, integers from 0, or other targets; texts with `PairInputs`.
            options: the other arguments of `training.adapted`.
        """
        x = (raw if self.inputs is None else self.inputs(raw)).to(self.device)
        y = torch.as_tensor(y) if self.inputs is None else self.inputs.targets(y)
        options = {"steps": self.steps, "loss": self.loss_function, **options}
        return adapted(self.learner, x, y.to(self.device), **options)

    def save_pretrained(  # type: ignore[override]
        self,
        folder: str | os.PathLike[str],
        *,
        dtype: str = "float32",
        repo_id: str | None = None,
        push_to_hub: bool = False,
        config: Any = None,
        model_card_kwargs: Any = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write the learner to a folder: `model.safetensors`, `config.json` and `README.md`.

        Everything is written to a new folder, which then replaces `folder`. After an
        error, `folder` is unchanged. An existing folder is replaced only if it is empty or holds a
        saved learner and nothing else; a model card that you edited is replaced too.

        Args:
            folder: the folder; missing parents are created.
            dtype: type of the floating-point weights in the file: `"float32"`, or `"float16"` or
                `"bfloat16"` for half the size. They are loaded as float32.
            push_to_hub, repo_id, push_to_hub_kwargs: as in `huggingface_hub.ModelHubMixin`.
            model_card_kwargs: arguments of `generate_model_card`.
            config: ignored; huggingface_hub passes it.

        Returns:
            The address of the commit if `push_to_hub` is True, else None.

        Raises:
            ArgumentError: `folder` holds something else; the learner has adapted, or is not
                float32; or the text pipeline cannot be saved.
            DataError: the folder cannot be written to, or the disk is full.
        """
        who = "save_pretrained"
        check_choice(who, "dtype", dtype, DTYPES)
        check_savable(who, self.learner)
        path = as_path(who, folder)
        tensors, tied = weights_of(self.learner)
        content = self._content()
        with replacing_folder(who, path) as beside:
            write_model(who, beside, tensors, tied, content, dtype)
            card = str(self.generate_model_card(**{"name": path.name, **(model_card_kwargs or {})}))
            (beside / CARD).write_text(card, encoding="utf-8")
        if push_to_hub:
            options = {"repo_id": repo_id or path.name, **push_to_hub_kwargs}
            return self.push_to_hub(**options)
        return None

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Publish the learner on the Hugging Face Hub.

        Args:
            repo_id: the id of the model, `"owner/name"`.
            options: as in `huggingface_hub.ModelHubMixin.push_to_hub`.

        Returns:
            The address of the commit.
        """
        card = {"name": repo_id, **(options.pop("model_card_kwargs", None) or {})}
        return str(super().push_to_hub(repo_id, model_card_kwargs=card, **options))

    def generate_model_card(self, *args: Any, name: str | None = None, **kwargs: Any) -> ModelCard:
        """Return the model card, made from the evaluations and the description.

        Args:
            name: the name of the model in the example; None for a placeholder.
            args, kwargs: ignored; huggingface_hub passes them.
        """
        return model_card(self._content(), name or "your-name/your-model")

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | os.PathLike[str],
        *,
        model: nn.Module | None = None,
        device: torch.device | str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Pretrained:
        """Load a learner that `save_pretrained` wrote, in evaluation mode.

        Folders and bundled models need no network. torch's random state does not change.

        Args:
            name: a folder; the name of a bundled model, see `list_pretrained`; or the id of a
                model on the Hugging Face Hub, `"owner/name"`. They are tried in this order.
            model: an instance of your own model class, if it is not `configurable`; or the whole
                model or learner to load into. It must have the saved architecture.
            device: where to put the learner; None for the CPU.
            revision, token, cache_dir, force_download, local_files_only: as in
                `huggingface_hub.snapshot_download`, for models on the Hub.

        Raises:
            UnknownNameError: there is no such model.
            DataError: a file is missing or damaged, was saved by a newer version, or cannot be
                downloaded.
            ArgumentError: `model` has another architecture, or is needed and not given; the message
                lists all differences. Nothing is loaded then.
        """
        who = f"{cls.__name__}.from_pretrained"
        hub = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
        }
        folder = find_model(who, name, hub)
        content = read_config(who, folder)
        tensors = read_weights(who, folder, content)
        version = content["versions"]["l2l_rnn"]
        learner = built(who, content["learner"], tensors, model, version)
        try:
            inputs = None if content["inputs"] is None else Inputs.from_json(content["inputs"])
            found = cls(learner, inputs, **{key: content[key] for key in _KEPT})
        except DataError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{who}: {folder / CONFIG} must describe a learner, got other values "
                f"({str(error)[:300]}); save it again"
            ) from error
        refuse(who, tensor_differences(learner.state_dict(), tensors))
        learner.load_state_dict(tensors)
        found.learner.eval()
        if device is not None:
            _move(who, found.learner, device)
        return found

    def _content(self) -> dict[str, Any]:
        return {
            "learner": configuration_of(self.learner),
            "inputs": None if self.inputs is None else self.inputs.to_json(),
            **{key: getattr(self, key) for key in _KEPT},
        }


def _move(who: str, learner: nn.Module, device: torch.device | str) -> None:
    try:
        learner.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArgumentError(
            f"{who}: device must be one that this machine has, got {device!r} "
            f"({str(error).splitlines()[0][:200]}); omit it, or see torch.cuda.is_available()"
        ) from error
