import pytest

from seviz.capture.launch import Launch, this_launch
from seviz.errors import OptionError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert this_launch() == Launch(rank=0, world=1, local_rank=0, name=None)
    environment(monkeypatch, RANK="0", WORLD_SIZE="1", MASTER_PORT="29500")
    assert this_launch() == Launch()


def test_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"WORLD_SIZE": "4", "MASTER_ADDR": "node1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "job"}
    environment(monkeypatch, RANK="3", LOCAL_RANK="1", **given)
    third = this_launch()
    assert (third.rank, third.world, third.local_rank) == (3, 4, 1)
    environment(monkeypatch, RANK="0", LOCAL_RANK="0", **given)
    assert this_launch().name == third.name
    environment(monkeypatch, RANK="0", LOCAL_RANK="0", **{**given, "MASTER_PORT": "29501"})
    assert this_launch().name != third.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"RANK": "1"}, "RANK is '1' and WORLD_SIZE None, expected both, as torchrun sets them, or neither"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK is 'one' and WORLD_SIZE '2', expected both"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2 and WORLD_SIZE 2, expected 0 <= RANK < WORLD_SIZE"),
    ],
)
def test_what_does_not_fit_together(values: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, **values)
    with pytest.raises(OptionError, match=message):
        this_launch()
