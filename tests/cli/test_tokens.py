"""Arguments as people type them."""

import pytest

from l2l_rnn.cli.tokens import rewritten
from l2l_rnn.cli.usage import UsageError

KINDS = {
    "lr": float | None,
    "shots": list[int] | int,
    "data": list[str] | str | None,
    "options": dict[str, int] | None,
    "first_order": bool,
    "text": str,
}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["--lr", "-1"], ["--lr=-1"]),
        (["--lr=0.1"], ["--lr=0.1"]),
        (["--shots", "1", "5"], ["--shots=[1, 5]"]),
        (["--shots", "1,5"], ["--shots=[1, 5]"]),
        (["--shots", "[1, 5]"], ["--shots=[1, 5]"]),
        (["--shots", "5"], ["--shots=5"]),
        (["--data", "a,b.csv"], ["--data=a,b.csv"]),
        (["--data", "a", "b", "--lr", "1"], ['--data=["a", "b"]', "--lr=1"]),
        (["--first-order"], ["--first_order=true"]),
        (["--first_order", "false", "x"], ["--first_order=false", "x"]),
        (["model", "--first-order", "x"], ["model", "--first_order=true", "x"]),
        (["--options.a", "3"], ["--options.a=3"]),
        (["--text", "-"], ["--text=-"]),
        (["--print_config"], ["--print_config"]),
        (["--config", "a.yaml"], ["--config", "a.yaml"]),
    ],
)
def test_arguments(typed, read):
    assert rewritten(typed, KINDS) == read


def test_all_problems_are_named():
    with pytest.raises(UsageError) as caught:
        rewritten(["--shot", "3", "--lr", "--dta=x"], KINDS)
    assert str(caught.value).splitlines()[1:] == [
        "  unknown flag --shot; did you mean 'shots'?",
        "  --lr needs a value",
        "  unknown flag --dta; did you mean 'data'?",
    ]
