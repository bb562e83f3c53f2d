"""What a person sees of a training: how far it is, its loss, its pace, and when it will be done."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from labram.cli import progress
from labram.cli.progress import Bar, Times


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_time_that_is_left_follows_from_the_present_pace():
    clock = Clock()
    shown = Progress(Times(), get_time=clock, disable=True)
    shown.add_task("pretrain", total=100)
    (task,) = shown.tasks
    times = []
    for done in (0, 10, 20, 100):
        clock.now = 1.0 * done
        shown.update(task.id, completed=done)
        times.append(str(Times().render(task)))
    assert times == ["0:00:00", "0:00:10", "0:00:20, 0:01:20 left", "0:01:40"]


def test_a_step_of_unknown_length_has_no_time_left():
    shown = Progress(Times(), get_time=Clock(), disable=True)
    shown.add_task("resolve", total=None)
    (task,) = shown.tasks
    assert str(Times().render(task)) == "0:00:00"


@pytest.mark.parametrize("word", ["pretrain", "loss 5.31", "patches_per_s 2310", "0:00:0"])
def test_a_bar_shows_loss_and_pace(monkeypatch, word):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=120, color_system=None))
    with Bar("pretrain") as bar:
        bar.progress(10, 100, loss=5.31, patches_per_s=2310.0)
    assert word in screen.getvalue()
