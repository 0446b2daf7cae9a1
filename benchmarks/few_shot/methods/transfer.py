"""Transfer learning: an encoder trained to tell all meta-train classes apart, then re-used."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.method import Classification
from benchmarks.few_shot.methods.protonet import fitted_prior, prototype_scores
from benchmarks.few_shot.problems.problem import Problem, seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, all_of, train
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import SequenceClassifier, SequenceEncoder


def pretrained_encoder(
    problem: Problem, model: dict[str, Any], *, training: Training, batch_size: int, seed: int = 0
) -> tuple[SequenceEncoder, History]:
    """Train a classifier of all meta-train classes and return its encoder, once for each problem.

    Args:
        problem: the tasks.
        model: options of `SequenceClassifier`.
        training: how; its ways and shots are not used, its validation tasks are solved by a probe.
        batch_size: examples in a batch, classes drawn with equal chance.
        seed: of the initial parameters and the batches.
    """
    key = ("pretrained", str(model), training, batch_size, seed)
    if key not in problem.memo:
        seed_everything(problem.seed + seed)
        data = problem.train
        classifier = SequenceClassifier(
            len(data.classes), vocab_size=problem.vocab_size, **model
        ).to(problem.device)
        weights = 1.0 / torch.bincount(data.labels).double()[data.labels]

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            chosen = torch.multinomial(weights, batch_size, replacement=True)
            labels = data.labels[chosen].to(problem.device)
            classifier.train()
            scores = classifier(data.sequences[chosen].to(problem.device))
            return F.cross_entropy(scores, labels), (scores.argmax(-1) == labels).float().mean()

        probe = LinearProbe(problem, "probe", encoder=classifier.encoder)
        history = train(
            classifier,
            training,
            loss_of_step,
            lambda: probe.validation_accuracy(training.validation_tasks),
            label="pre-training",
            tasks_per_step=1,
        )
        problem.memo[key] = (classifier.encoder.eval(), history)
    return problem.memo[key]


class LinearProbe(Classification):
    """Fits a logistic regression on the frozen encoder's vectors of each support set.

    Args:
        model, pretraining: options of `pretrained_encoder`.
        encoder: an encoder to use instead.
        regularisation: the inverse strength C of the regression's penalty.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        *,
        model: dict[str, Any] | None = None,
        pretraining: dict[str, Any] | None = None,
        encoder: SequenceEncoder | None = None,
        regularisation: float = 0.1,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.pretraining = model, pretraining
        self.encoder, self.regularisation = encoder, regularisation

    def fit(self) -> History | None:
        self.encoder, history = pretrained_encoder(self.problem, self.model, **self.pretraining)
        return history

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
        regression = LogisticRegression(C=self.regularisation, max_iter=1000)
        return make_pipeline(StandardScaler(), regression).fit(vectors.cpu(), labels.cpu())


class FineTuned(LinearProbe):
    """Goes on from the linear probe: trains encoder and head together on each support set.

    Args:
        steps: Adam steps on the support set.
        lr: their step size.
        model, pretraining, regularisation: as in `LinearProbe`.
    """

    def __init__(
        self, problem: Problem, label: str, *, steps: int, lr: float, **probe: Any
    ) -> None:
        super().__init__(problem, label, **probe)
        self.steps, self.lr = steps, lr

    def predict(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            support = self.encoder.eval()(batch.support_x)
        model = SequenceClassifier(
            self.problem.spec.ways, vocab_size=self.problem.vocab_size, **self.model
        ).to(batch.support_x.device)
        model.encoder.load_state_dict(self.encoder.state_dict())
        heads = [self.head(x, y) for x, y in zip(support, batch.support_y, strict=True)]
        return adam_on_support(model, batch, self.steps, self.lr, heads=[folded(h) for h in heads])


def folded(head: Any) -> tuple[Tensor, Tensor]:
    """The weight `(C, E)` and bias `(C,)` of a scaler and a regression as one affine map."""
    scaler, regression = head[0], head[1]
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


class PretrainedPrior(Classification):
    """Judges by class means in the pre-trained encoder's space, drawn toward a Gaussian prior.

    Nothing in it is meta-learned: beside a meta-learned encoder with the same prior it shows what
    the meta-learning adds.

    Args:
        model, pretraining: options of `pretrained_encoder`.
        members: how many encoders are trained, from different seeds; their scores add up.
        shrinkage: that of the `GaussianPrior` of each, fitted to the meta-train classes.
        prior_examples: at most how many examples of a meta-train class it is fitted to.
    """

    def __init__(
        self,
        problem: Problem,
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

    def fit(self) -> History:
        trained = [
            pretrained_encoder(self.problem, self.model, seed=number, **self.pretraining)
            for number in range(self.members)
        ]
        self.encoders = [encoder for encoder, _ in trained]
        self.priors = [
            fitted_prior(self.problem, encoder, self.shrinkage, self.prior_examples)
            for encoder in self.encoders
        ]
        return all_of([history for _, history in trained])

    def predict(self, batch: TaskBatch) -> Tensor:
        return prototype_scores(self.encoders, self.priors, batch, self.problem.spec.ways)
