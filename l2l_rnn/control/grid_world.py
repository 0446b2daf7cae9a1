"""A grid with an unknown goal, which is the same in all episodes of a trial."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.control.environment import Environment, Outcome
from l2l_rnn.errors import ArgumentError

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right


class GridWorld(Environment):
    """A square grid of cells, where an agent walks from a corner to a goal that it cannot see.

    An episode ends at the goal, or after as many steps as there are other cells, which is enough to
    visit each of them. The agent is then back in the corner, and the goal stays. So it must explore
    in the first episode, and should take a shortest path in the later ones. Each step costs 1 over
    the most steps of an episode. A step against a wall changes nothing.

    The state is the row, the column, the steps of the episode and the number of finished episodes.
    The position is the cell as a one-hot vector.

    Args:
        goals: number of the goal's cell, counted row by row from 0, `(…)` of integers. The corner
            is cell 0.
        size: cells per side.
        episodes: episodes of a trial.

    Raises:
        ArgumentError: a goal is the corner or outside the grid, or a size is not positive.

    Example:
        >>> grid = GridWorld(torch.tensor([1]), size=3, episodes=2)
        >>> right = torch.tensor([3])
        >>> first = grid.step(grid.start(), right)
        >>> first.ends, first.states
        (tensor([True]), tensor([[0, 0, 0, 1]]))
        >>> grid.going(grid.step(first.states, right).states)
        tensor([False])

    Source: after the navigation task of Y. Duan et al., 2016, RL^2, section 3.3, on a small scale.
    """

    action_size = len(MOVES)

    def __init__(self, goals: Tensor, *, size: int = 5, episodes: int = 3) -> None:
        who = "GridWorld"
        check_tensor(who, "goals", goals)
        self.size = check_int(who, "size", size, least=2)
        self.episodes = check_int(who, "episodes", episodes)
        cells = size * size
        if goals.is_floating_point() or not ((goals > 0) & (goals < cells)).all():
            raise ArgumentError(
                f"{who}: goals must be integers from 1 to {cells - 1}, got {goals.dtype} from "
                f"{goals.min().item()} to {goals.max().item()}; cell 0 is the start"
            )
        self.goals, self.lead = goals, tuple(goals.shape)
        self.position_size, self.episode_steps = cells, cells - 1
        self.steps = episodes * self.episode_steps

    @classmethod
    def draw(
        cls, tasks: int, *, size: int = 5, episodes: int = 3, generator: Generator | None = None
    ) -> GridWorld:
        """Draw grids whose goals are uniform over all cells but the corner.

        Args:
            tasks: number of grids, `N`.
            size: cells per side.
            episodes: episodes of a trial.
            generator: random number generator; None uses torch's global one.
        """
        who = "GridWorld.draw"
        cells = check_int(who, "size", size, least=2) ** 2
        goals = torch.randint(1, cells, (check_int(who, "tasks", tasks),), generator=generator)
        return cls(goals, size=size, episodes=episodes)

    def start(self) -> Tensor:
        return self.goals.new_zeros(*self.lead, 4)

    def cells(self, states: Tensor) -> Tensor:
        """Return the number of the agent's cell, `(…)`."""
        return states[..., 0] * self.size + states[..., 1]

    def position(self, states: Tensor) -> Tensor:
        return one_hot(self.cells(states), self.position_size).float()

    def going(self, states: Tensor) -> Tensor:
        return states[..., 3] < self.episodes

    def step(self, states: Tensor, actions: Tensor, generator: Generator | None = None) -> Outcome:
        moves = torch.tensor(MOVES, device=states.device)[self._checked(actions)]
        going = self.going(states)
        places = (states[..., :2] + moves).clamp(0, self.size - 1)
        taken = states[..., 2] + 1
        reached = places[..., 0] * self.size + places[..., 1] == self.goals
        ends = going & (reached | (taken >= self.episode_steps))
        stays = (going & ~ends).long()  # otherwise, the agent is back in the corner
        following = torch.cat(
            [
                places * stays.unsqueeze(-1),
                (taken * stays).unsqueeze(-1),
                (states[..., 3] + ends).unsqueeze(-1),
            ],
            -1,
        )
        return Outcome(following, -going.float() / self.episode_steps, ends)


class SystematicSweep:
    """Walk through all cells row by row until the goal is found, then by a shortest path.

    Each step of the sweep visits a new cell, so no policy finds a uniformly drawn goal in fewer
    steps on average.

    Args:
        grid: the grids.

    Example:
        >>> from l2l_rnn.control import run_trial
        >>> grid = GridWorld(torch.tensor([24, 7]))
        >>> trial = run_trial(grid, SystematicSweep(grid))
        >>> trial.ends.int().argmax(-1) + 1  # steps of the first episode
        tensor([24, 7])
    """

    def __init__(self, grid: GridWorld) -> None:
        self.grid = grid
        self.goals = torch.full_like(grid.goals, -1)  # what is known of them
        self.cells = torch.zeros_like(grid.goals)

    def __call__(self, observations: Tensor) -> Tensor:
        size, grid = self.grid.size, self.grid
        cells = observations[..., -grid.position_size :].argmax(-1)
        last = observations[..., : grid.action_size]
        moves = torch.tensor(MOVES, device=last.device)[last.argmax(-1)]
        rows, columns = self.cells // size + moves[..., 0], self.cells % size + moves[..., 1]
        found = (observations[..., grid.action_size + 1] > 0) & (self.goals < 0)
        reached = rows * size + columns
        self.goals = torch.where(found, reached, self.goals)
        self.cells = cells
        row, column = cells // size, cells % size
        right = row % 2 == 0  # even rows are walked from left to right
        at_end = torch.where(right, column == size - 1, column == 0)
        sweep = torch.where(at_end, 1, torch.where(right, 3, 2))
        down, across = self.goals // size - row, self.goals % size - column
        straight = torch.where(down > 0, 1, torch.where(across > 0, 3, torch.where(down < 0, 0, 2)))
        return torch.where(self.goals < 0, sweep, straight)
