"""Transfer learning with an encoder pre-trained to classify all training classes."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.episodic import support_scores
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.protonet import problem_prior, prototype_learner
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, combined, run_training
from l2l_rnn.data import TaskBatch


def pretrained_encoder(
    problem: ClassificationProblem, model: dict[str, Any], **pretraining: Any
) -> tuple[nn.Module, History]:
    """Return the encoder of a `pretrained_classifier`; the arguments are the same."""
    classifier, history = pretrained_classifier(problem, model, **pretraining)
    return classifier.encoder, history


def pretrained_classifier(
    problem: ClassificationProblem,
    model: dict[str, Any],
    *,
    training: Training,
    batch_size: int,
    seed: int = 0,
) -> tuple[Any, History]:
    """Train a classifier of all training classes.

    Each classifier is trained once per problem and shared among the methods.

    Args:
        problem: the tasks.
        model: options of the problem's classifier.
        training: training settings; ways and shots are ignored. Validation uses a linear probe.
        batch_size: examples per batch; all classes are equally likely.
        seed: random seed of the initial parameters and the batches.
    """

    def make() -> Any:
        seed_everything(problem.seed + seed)
        return problem.classifier(len(problem.train.classes), **model).to(problem.device)

    def train(classifier: Any) -> History:
        data = problem.train
        weights = 1.0 / torch.bincount(data.labels).double()[data.labels]

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            chosen = torch.multinomial(weights, batch_size, replacement=True)
            labels = data.labels[chosen].to(problem.device)
            classifier.train()
            scores = classifier(data.sequences[chosen].to(problem.device))
            return F.cross_entropy(scores, labels), (scores.argmax(-1) == labels).float().mean()

        probe = LinearProbe(problem, "probe", encoder=classifier.encoder)
        return run_training(
            classifier,
            training,
            loss_of_step,
            lambda: probe.validation_score(training.validation_tasks),
            label="pre-training",
            tasks_per_step=1,
        )

    key = _key(model, training, batch_size, seed)
    classifier, history = problem.shared.get(key, make, train)
    return classifier.eval(), history


def _key(model: dict[str, Any], training: Training, batch_size: int, seed: int) -> str:
    """Return the key of a classifier in the problem's shared trainings."""
    return f"pretrained {model} {training} {batch_size} {seed}"


class TransferMethod(ClassificationMethod):
    """A method with encoders from `pretrained_encoder`."""

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        model, pretraining = options["model"], options["pretraining"]
        training, batch_size = pretraining["training"], pretraining["batch_size"]
        members = range(options.get("members", 1))
        return {_key(model, training, batch_size, seed): training for seed in members}


class LinearProbe(TransferMethod):
    """Fits a logistic regression to the frozen encoder's features of each support set.

    Args:
        model, pretraining: options of `pretrained_encoder`.
        encoder: a trained encoder to use instead.
        regularization: inverse strength C of the regression's penalty.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        model: dict[str, Any] | None = None,
        pretraining: dict[str, Any] | None = None,
        encoder: nn.Module | None = None,
        regularization: float = 0.1,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.pretraining = model, pretraining
        self.encoder, self.regularization = encoder, regularization

    def train(self) -> History | None:
        self.encoder, history = pretrained_encoder(self.problem, self.model, **self.pretraining)
        return history

    def encoder_place(self) -> tuple[nn.Module | ClassificationMethod, str] | None:
        return self, "encoder"

    def predict(self, batch: TaskBatch) -> Tensor:
        self.encoder.eval()
        with torch.no_grad():
            support, query = self.encoder(batch.support_x), self.encoder(batch.query_x)
        heads = [self.head(x, y) for x, y in zip(support, batch.support_y, strict=True)]
        return torch.stack(
            [torch.from_numpy(h.predict_proba(x.cpu())) for h, x in zip(heads, query, strict=True)]
        ).to(query.device)

    def head(self, vectors: Tensor, labels: Tensor) -> Any:
        """Fit the regression of one task: vectors `(B, E)`, labels `(B,)`."""
        regression = LogisticRegression(C=self.regularization, max_iter=1000)
        return make_pipeline(StandardScaler(), regression).fit(vectors.cpu(), labels.cpu())


class FineTuned(LinearProbe):
    """Trains encoder and head on each support set, starting from the linear probe.

    Args:
        steps: Adam steps on the support set.
        lr: Adam's learning rate.
        model, pretraining, regularization: as in `LinearProbe`.
    """

    def __init__(
        self, problem: ClassificationProblem, label: str, *, steps: int, lr: float, **probe: Any
    ) -> None:
        super().__init__(problem, label, **probe)
        self.steps, self.lr = steps, lr

    def encoder_place(self) -> None:
        return None  # each task trains the encoder

    def predict(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            support = self.encoder.eval()(batch.support_x)
        model: Any = self.problem.classifier(ways_of(batch), **self.model)
        model = model.to(batch.support_x.device)
        model.encoder.load_state_dict(self.encoder.state_dict())
        heads = [self.head(x, y) for x, y in zip(support, batch.support_y, strict=True)]
        return adam_on_support(model, batch, self.steps, self.lr, heads=[folded(h) for h in heads])


def folded(head: Any) -> tuple[Tensor, Tensor]:
    """Merge a scaler and a regression into one affine map, weight `(C, E)` and bias `(C,)`."""
    scaler, regression = head[0], head[1]
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


class PretrainedPrior(TransferMethod):
    """Classifies by class means of the pre-trained encoder's features, with a Gaussian prior.

    Nothing is meta-learned. This is the control for a meta-learned encoder with the same prior: the
    difference between them is the effect of meta-learning.

    Args:
        model, pretraining: options of `pretrained_encoder`.
        members: number of encoders, trained with different seeds; their scores are summed.
        shrinkage: shrinkage of each encoder's `GaussianPrior`, fitted to the training classes.
        prior_examples: maximum number of examples per training class to fit the prior.
    """

    has_learner = True

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        model: dict[str, Any],
        pretraining: dict[str, Any],
        shrinkage: float,
        members: int = 1,
        prior_examples: int = 60,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.pretraining = model, pretraining
        self.shrinkage, self.members, self.prior_examples = shrinkage, members, prior_examples

    def train(self) -> History:
        trained = [
            pretrained_encoder(self.problem, self.model, seed=number, **self.pretraining)
            for number in range(self.members)
        ]
        self.encoders = [encoder for encoder, _ in trained]
        priors = [
            problem_prior(self.problem, encoder, self.shrinkage, self.prior_examples)
            for encoder in self.encoders
        ]
        self.learner = prototype_learner(
            self.encoders, priors, self.problem.spec.ways, self.problem.centered_priors
        )
        return combined([history for _, history in trained])

    def encoder_place(self) -> tuple[nn.Module, str]:
        return self.learner, "module"

    def predict(self, batch: TaskBatch) -> Tensor:
        return support_scores(self.learner, batch)
