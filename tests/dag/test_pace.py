"""The pace of a loop: not too often, and right."""

from coresift.dag import pace as module
from coresift.dag.pace import Pace


def test_speed_and_rest_are_given_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pace = Pace()
    said = []
    for turn in range(1, 31):  # a turn a second, two units each
        now[0] += 1
        said.append(pace.due(2 * turn, 90 - 2 * turn))
    assert [turn for turn, found in enumerate(said, start=1) if found] == [11, 22]
    assert said[10] == (2.0, 34.0)
    assert said[21] == (2.0, 23.0)


def test_nothing_done_yet_is_no_error(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pace = Pace()
    now[0] = 11.0
    rate, left = pace.due(0, 5)
    assert rate == 1e-9
    assert left == 5e9
