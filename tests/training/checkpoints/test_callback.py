"""Training with checkpoints, interrupted and resumed."""

import contextlib
import os
import shutil
import signal
import warnings

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    CheckpointWarning,
    DataError,
)
from l2l_rnn.training.checkpoints import (
    Checkpoints,
    RandomStates,
    SafeCheckpointIO,
    add_settings,
    check_settings,
    latest_good,
    saved_settings,
)
from l2l_rnn.training.checkpoints.container import read_checkpoint, write_checkpoint
from tests.training.checkpoints.problem import (
    Interrupt,
    Interrupted,
    Module,
    Stream,
    loaders,
    seed,
    state_of,
    trainer_of,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),  # of Lightning
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory"),
]


def fit(folder, *callbacks, kind="stream", plateau=None, start=1, resume=True, **options):
    seed(start)
    module = Module(plateau)
    trainer = trainer_of(folder, *callbacks, **options)
    trainer.fit(module, *loaders(kind), ckpt_path=latest_good(folder) if resume else None)
    return trainer, module


def step_of(path):
    return read_checkpoint("me", path)["global_step"]


CASES = {
    "every second step": {},
    "every epoch": {"every_n_steps": None},
    "validation within epochs": {"val_check_interval": 3},
    "validation in every second epoch": {"check_val_every_n_epoch": 2, "max_epochs": 4},
    "no validation": {"limit_val_batches": 0, "monitor": None},
    "accumulated gradients": {"accumulate_grad_batches": 2},
    "a number of steps": {"max_steps": 17, "max_epochs": -1, "every_n_steps": 5},
    "plateau of epochs": {"plateau": "epoch"},
    "plateau of epochs, validation within": {"plateau": "epoch", "val_check_interval": 3},
    "plateau of steps": {"plateau": "step", "every_n_steps": 3},
    "a torch loader": {"kind": "loader", "every_n_steps": None},
}
MOMENTS = [
    ("on_train_batch_start", 4),
    ("on_train_batch_end", 10),
    ("on_train_batch_start", 13),
    ("on_train_epoch_end", 2),
]
MORE_MOMENTS = [
    ("on_train_batch_start", 8),
    ("on_before_optimizer_step", 6),
    ("on_train_batch_end", 7),
    ("on_validation_end", 1),
    ("on_validation_end", 2),
    ("on_train_epoch_end", 1),
]


@pytest.mark.parametrize(
    ("case", "moments"),
    [
        *((case, MOMENTS) for case in CASES),
        *(pytest.param(case, MORE_MOMENTS, marks=pytest.mark.slow) for case in CASES),
    ],
)
def test_an_interrupted_run_ends_as_an_unbroken_one(tmp_path, case, moments):
    options = CASES[case]
    whole = state_of(*fit(tmp_path / "whole", **options))
    for hook, call in moments:
        folder = tmp_path / f"{hook}{call}"
        try:
            fit(folder, Interrupt(hook, call), **options)
        except Interrupted:
            pass
        else:
            assert hook == "on_validation_end"  # there are not so many
            continue
        start = 1 if latest_good(folder) is None else 999
        resumed = state_of(*fit(folder, start=start, **options))
        for a, b in zip(whole, resumed, strict=True):
            assert torch.equal(a, b), (hook, call)


def test_a_run_that_is_interrupted_again_and_again(tmp_path):
    whole = state_of(*fit(tmp_path / "whole"))
    interruptions = 0
    while True:
        start = 1 if latest_good(tmp_path / "run") is None else interruptions
        try:
            last = fit(tmp_path / "run", Interrupt("on_train_batch_end", 4), start=start)
            break
        except Interrupted:
            interruptions += 1
    assert interruptions >= 5
    assert all(map(torch.equal, whole, state_of(*last)))


def test_a_longer_run_continues_a_finished_one(tmp_path):
    whole = state_of(*fit(tmp_path / "whole", max_epochs=4))
    fit(tmp_path / "run", max_epochs=2)
    resumed = state_of(*fit(tmp_path / "run", max_epochs=4, start=5))
    assert all(map(torch.equal, whole, resumed))


def test_sigterm_saves_the_step_before_it(tmp_path):
    class Terminate(pl.Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.global_step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    whole = state_of(*fit(tmp_path / "whole", every_n_steps=None))
    with pytest.raises(SIGTERMException):
        fit(tmp_path / "run", Terminate(), every_n_steps=None)
    assert step_of(tmp_path / "run" / "last.ckpt") == 5
    resumed = state_of(*fit(tmp_path / "run", start=9, every_n_steps=None))
    assert all(map(torch.equal, whole, resumed))


def test_the_last_the_previous_and_the_best_are_kept(tmp_path):
    class Record(pl.Callback):
        scores = ()

        def on_validation_end(self, trainer, module):
            if not trainer.sanity_checking:
                self.scores += ((trainer.callback_metrics["val_loss"].item(), trainer.global_step),)

    record = Record()
    trainer, _ = fit(tmp_path, record, every_n_steps=3, max_epochs=4)
    assert {*os.listdir(tmp_path)} == {"last.ckpt", "previous.ckpt", "best.ckpt", ".lock"}
    assert step_of(tmp_path / "last.ckpt") == 28
    assert step_of(tmp_path / "previous.ckpt") == 27
    score, step = min(record.scores)
    assert step_of(tmp_path / "best.ckpt") == step
    callback = trainer.checkpoint_callback
    assert callback.best_model_score == pytest.approx(score)
    assert callback.best_model_path == str(tmp_path / "best.ckpt")
    assert callback.last_model_path == str(tmp_path / "last.ckpt")

    # Lightning's own words for them
    (metrics,) = trainer.validate(Module(), loaders()[1], ckpt_path="best", verbose=False)
    assert metrics["val_loss"] == pytest.approx(score, abs=0.01)
    trainer.validate(Module(), loaders()[1], ckpt_path=tmp_path / "last.ckpt", verbose=False)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_is_remembered_and_nan_is_never_the_best(tmp_path, mode):
    scores = [float("nan"), 0.5, 0.5, 0.3, 0.7, float("nan")]

    class Scored(Module):
        def validation_step(self, batch, index):
            done = self.trainer.sanity_checking
            self.log("score", torch.tensor(0.0 if done else scores[self.trainer.current_epoch]))

    best = []
    for epochs in range(1, 7):
        checkpoints = Checkpoints(tmp_path, monitor="score", mode=mode)
        trainer = trainer_of(tmp_path, checkpoints=checkpoints, max_epochs=epochs)
        trainer.fit(Scored(), Stream(2), loaders()[1], ckpt_path=latest_good(tmp_path))
        found = (tmp_path / "best.ckpt").is_file()
        best.append(step_of(tmp_path / "best.ckpt") // 2 if found else None)
    assert best == {"min": [None, 2, 2, 4, 4, 4], "max": [None, 2, 2, 2, 5, 5]}[mode]


def test_a_metric_that_is_never_logged_is_named_after_the_last_was_saved(tmp_path):
    with pytest.raises(ArgumentError, match="got 'val_los'; did you mean 'val_loss'"):
        fit(tmp_path, monitor="val_los")
    assert step_of(tmp_path / "last.ckpt") == 7


def test_a_training_metric_can_be_monitored(tmp_path):
    fit(tmp_path, monitor="train_loss", limit_val_batches=0)
    assert (tmp_path / "best.ckpt").is_file()


def test_time_between_checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path, every_minutes=1e-9)
    with pytest.raises(Interrupted):
        fit(tmp_path, Interrupt("on_train_batch_start", 4), checkpoints=checkpoints)
    assert step_of(tmp_path / "last.ckpt") == 3


def test_save_checkpoint_and_manual_optimization(tmp_path):
    class Manual(Module):
        automatic_optimization = False

        def training_step(self, batch, index):
            self.optimizers().zero_grad()
            self.manual_backward(super().training_step(batch, index))
            self.optimizers().step()

    def run(folder, *callbacks):
        seed()
        module, trainer = Manual(), trainer_of(folder, *callbacks)
        trainer.fit(module, *loaders(), ckpt_path=latest_good(folder))
        return trainer, module

    whole = run(tmp_path / "whole")
    whole[0].save_checkpoint(tmp_path / "own" / "name.ckpt")
    own = read_checkpoint("me", tmp_path / "own" / "name.ckpt")
    whole = state_of(*whole)
    for name, tensor in zip(own["state_dict"], whole, strict=False):
        assert torch.equal(own["state_dict"][name], tensor)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", Interrupt("on_train_batch_end", 12))
    assert all(map(torch.equal, whole, state_of(*run(tmp_path / "run"))))


def test_weights_only_is_understood(tmp_path):
    trainer, _ = fit(tmp_path / "run")
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    assert "optimizer_states" not in read_checkpoint("me", tmp_path / "weights.ckpt")
    other = trainer_of(tmp_path / "other", max_epochs=4)
    other.fit(Module(), *loaders(), ckpt_path=tmp_path / "run" / "last.ckpt", weights_only=True)
    assert other.global_step == 28


def test_a_damaged_checkpoint_is_skipped_and_the_run_still_ends_the_same(tmp_path):
    whole = state_of(*fit(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        fit(tmp_path / "run", Interrupt("on_train_batch_end", 11))
    os.truncate(tmp_path / "run" / "last.ckpt", 1000)
    with pytest.warns(CheckpointWarning, match=r"previous\.ckpt is used"):
        resumed = state_of(*fit(tmp_path / "run"))
    assert all(map(torch.equal, whole, resumed))
    assert (tmp_path / "run" / "damaged-last.ckpt").stat().st_size == 1000


def test_a_poisoned_checkpoint_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"state_dict": Bomb(), "pytorch-lightning_version": "2.6.6"}, tmp_path / "bad.ckpt")
    with pytest.raises(DataError, match="it can run code"):
        trainer_of(tmp_path / "run").fit(Module(), *loaders(), ckpt_path=tmp_path / "bad.ckpt")
    assert not (tmp_path / "exploded").exists()


def test_a_checkpoint_with_another_state_of_the_callback_is_refused(tmp_path):
    fit(tmp_path / "run", max_epochs=1)
    checkpoint = read_checkpoint("me", tmp_path / "run" / "last.ckpt")
    state = checkpoint["callbacks"]["l2l_rnn.Checkpoints"]
    for change in (
        *({"random_states": 3}, {"random_states": {"ranks": [{}]}}, {"plateau": 1}),
        *({"metrics": None}, {"metrics": {"a": 1}}, {"best_model_score": "x"}, None),
    ):
        changed = {"monitor": None} if change is None else state | change
        callbacks = {"l2l_rnn.Checkpoints": changed}
        write_checkpoint("me", tmp_path / "other.ckpt", checkpoint | {"callbacks": callbacks})
        with pytest.raises(DataError, match="use another checkpoint"):
            trainer_of(tmp_path / "b").fit(Module(), *loaders(), ckpt_path=tmp_path / "other.ckpt")


def test_a_new_run_does_not_replace_an_old_one(tmp_path):
    fit(tmp_path, max_epochs=1)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(ArgumentError, match="must hold no checkpoints"):
        fit(tmp_path, max_epochs=1, resume=False)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    checkpoints = Checkpoints(tmp_path, monitor="val_loss", overwrite=True)
    trainer, module = fit(tmp_path, max_epochs=1, resume=False, checkpoints=checkpoints)
    assert not (tmp_path / "previous.ckpt").exists()
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, *loaders())  # the same run, continued
    assert step_of(tmp_path / "last.ckpt") == 14


def test_two_trainers_on_one_folder(tmp_path):
    class Second(pl.Callback):
        def on_train_start(self, trainer, module):
            with pytest.raises(ArgumentError, match="must not be in use"):
                fit(tmp_path)

    fit(tmp_path, Second(), max_epochs=1)
    fit(tmp_path, max_epochs=2)  # free after the end, and after an error:
    with pytest.raises(Interrupted):
        fit(tmp_path, Interrupt("on_train_batch_end", 1), max_epochs=3)
    fit(tmp_path, max_epochs=3)


def test_other_settings_are_listed(tmp_path):
    settings = {"lr": 0.5, "ways": 5}
    fit(tmp_path, checkpoints=Checkpoints(tmp_path, settings=settings), max_epochs=1)
    other = {"lr": 0.1, "ways": 5, "shots": 2}
    with pytest.raises(ArgumentError, match=r"lr=0\.1 instead of 0\.5, shots=2 instead of nothing"):
        fit(tmp_path, checkpoints=Checkpoints(tmp_path, settings=other), max_epochs=2)
    fit(tmp_path, checkpoints=Checkpoints(tmp_path, settings=settings), max_epochs=2)
    with pytest.raises(ArgumentTypeError, match="values that JSON represents"):
        Checkpoints(tmp_path, settings={"loss": torch.nn.MSELoss()})


def test_a_module_can_save_and_check_its_settings(tmp_path):
    class Own(Module):
        def __init__(self, size):
            super().__init__()
            self.net[3] = torch.nn.Linear(8, size)

        def on_save_checkpoint(self, checkpoint):
            add_settings(checkpoint, {"size": self.net[3].out_features})

        def on_load_checkpoint(self, checkpoint):
            check_settings(saved_settings(checkpoint), {"size": self.net[3].out_features})

    trainer_of(tmp_path, max_epochs=1).fit(Own(1), *loaders())
    with pytest.raises(ArgumentError, match="size=2 instead of 1"):
        trainer_of(tmp_path).fit(Own(2), *loaders(), ckpt_path=latest_good(tmp_path))
    with pytest.raises(ArgumentError, match="size=2 instead of 1"):
        latest_good(tmp_path, settings={"size": 2})


def test_a_full_disk(small_disk, tmp_path):
    class Fill(pl.Callback):
        def on_train_batch_start(self, trainer, *args):
            if trainer.global_step == 5:
                with contextlib.suppress(OSError), (small_disk / "big").open("wb", 0) as file:
                    while True:
                        file.write(bytes(4096))

    seed()
    module, trainer = Module(), trainer_of(small_disk, Fill())
    with pytest.raises(CheckpointError, match=r"last\.ckpt .*No space left on device"):
        trainer.fit(module, *loaders())
    assert step_of(small_disk / "last.ckpt") == 4
    assert step_of(small_disk / "previous.ckpt") == 2
    trainer.save_checkpoint(tmp_path / "elsewhere.ckpt")  # the state of training is intact
    (small_disk / "big").unlink()

    whole = state_of(*fit(tmp_path / "whole"))
    for path in (small_disk / "last.ckpt", tmp_path / "elsewhere.ckpt"):
        seed(7)
        module, trainer = Module(), trainer_of(small_disk)
        trainer.fit(module, *loaders(), ckpt_path=path)
        assert all(map(torch.equal, whole, state_of(trainer, module)))


def test_a_folder_that_becomes_read_only(small_disk, read_only):
    with contextlib.ExitStack() as stack:

        class Protect(pl.Callback):
            def on_train_batch_end(self, trainer, *args):
                if trainer.global_step == 4:
                    stack.enter_context(read_only())

        with pytest.raises(CheckpointError, match="Read-only file system"):
            fit(small_disk, Protect())
        assert step_of(latest_good(small_disk)) == 2
    fit(small_disk)
    assert step_of(latest_good(small_disk)) == 21


def test_a_folder_that_vanishes(tmp_path):
    class Remove(pl.Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.global_step == 3:
                shutil.rmtree(tmp_path / "run")

    seed()
    module, trainer = Module(), trainer_of(tmp_path / "run", Remove())
    with pytest.raises(CheckpointError, match=r"run, which was removed or replaced"):
        trainer.fit(module, *loaders())
    assert not (tmp_path / "run").exists()
    trainer.save_checkpoint(tmp_path / "elsewhere.ckpt")
    assert step_of(tmp_path / "elsewhere.ckpt") == 4


def test_an_object_in_the_hyper_parameters_leaves_the_earlier_checkpoint(tmp_path):
    class Hyper(Module):
        def __init__(self, part):
            super().__init__()
            self.save_hyperparameters()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Hyper(torch.nn.Linear(1, 1))
    with pytest.raises(ArgumentTypeError, match=r"hyper_parameters\.part .*ignore=\['part'\]"):
        trainer_of(tmp_path).fit(module, *loaders())
    assert os.listdir(tmp_path) == [".lock"]
    trainer_of(tmp_path, max_epochs=1).fit(Hyper({"a": (1, None)}), *loaders())
    hyper = read_checkpoint("me", tmp_path / "last.ckpt")["hyper_parameters"]
    assert hyper == {"part": {"a": (1, None)}}


def test_nothing_is_written_in_a_dry_run_or_in_validation(tmp_path):
    fit(tmp_path / "a", fast_dev_run=True)
    trainer_of(tmp_path / "b").validate(Module(), loaders()[1], verbose=False)
    assert not os.listdir(tmp_path)


def test_another_checkpoint_io_is_refused(tmp_path):
    callbacks = [Checkpoints(tmp_path)]
    trainer = pl.Trainer(callbacks=callbacks, logger=False, accelerator="cpu", max_epochs=1)
    with pytest.raises(ArgumentError, match=r"pass Trainer\(plugins=\[SafeCheckpointIO\(\)\]\)"):
        trainer.fit(Module(), *loaders())


def test_invalid_arguments(tmp_path):
    for options in ({"mode": "best"}, {"every_n_steps": 0}, {"every_minutes": 0}):
        with pytest.raises(ArgumentError, match=r"^Checkpoints: "):
            Checkpoints(tmp_path, **options)


def test_random_states_with_lightning_s_own_callback(tmp_path):
    def run(folder, epochs, path=None, start=1):
        seed(start)
        module = Module()
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=epochs,
            plugins=[SafeCheckpointIO()],
            callbacks=[
                pl.callbacks.ModelCheckpoint(folder, save_last=True),
                pl.callbacks.EarlyStopping("val_loss", patience=9),
                pl.callbacks.Timer(),
                RandomStates(),
            ],
        )
        trainer.fit(module, *loaders("loader"), ckpt_path=path)
        return state_of(trainer, module)

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "run", 1)
    resumed = run(tmp_path / "run", 3, tmp_path / "run" / "last.ckpt", start=7)
    assert all(map(torch.equal, whole, resumed))


def test_evaluation_does_not_touch_the_generators(tmp_path):
    fit(tmp_path, max_epochs=1)
    seed(3)
    trainer = trainer_of(tmp_path)
    trainer.validate(Module(), loaders()[1], ckpt_path=tmp_path / "last.ckpt", verbose=False)
    first = torch.rand(2)
    seed(3)
    trainer_of(tmp_path).validate(Module(), loaders()[1], verbose=False)
    assert torch.equal(first, torch.rand(2))


def test_another_number_of_processes_is_named(tmp_path):
    fit(tmp_path / "run", max_epochs=1)
    checkpoint = read_checkpoint("me", tmp_path / "run" / "last.ckpt")
    states = checkpoint["callbacks"]["l2l_rnn.Checkpoints"]["random_states"]
    states["ranks"] *= 2
    write_checkpoint("me", tmp_path / "run" / "last.ckpt", checkpoint)
    with pytest.warns(CheckpointWarning, match="of 2 processes are in the checkpoint, got 1"):
        fit(tmp_path / "run", max_epochs=2)
