"""Figures: in labram's style whatever the user's is, legible in grey, and never large."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from labram.reporting import plots


def grey(colour: str) -> float:
    """Relative luminance of sRGB (ITU-R BT.709), roughly what is left on a grey print."""
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def test_model_and_baseline_differ_in_grey() -> None:
    assert abs(grey(plots.MODEL) - grey(plots.BASELINE)) > 0.3


def test_the_users_own_style_neither_shows_nor_is_lost() -> None:
    with mpl.rc_context({"axes.facecolor": "#ff00ff", "font.size": 30}):
        with plots.styled():
            svg = plots.markup(plots.codebook([3, 2, 0]), name="one", alt="three codes")
        assert mpl.rcParams["axes.facecolor"] == "#ff00ff"
    assert "#ff00ff" not in svg


def test_figures_of_one_page_keep_their_identifiers_apart() -> None:
    with plots.styled():
        one, two = (plots.markup(plots.codebook([3, 2, 0]), name=name, alt="codes") for name in ("one", "two"))
    assert 'id="one-' in one
    assert one.replace("one-", "two-") == two


def test_a_large_drawing_becomes_pixels() -> None:
    draw = np.random.default_rng(0)
    lines = [plots.Line("loss", list(range(9000)), draw.normal(size=9000).tolist())]
    with plots.styled():
        markup = plots.markup(plots.curves([plots.Panel("Loss", "loss", lines)]), name="big", alt='a "loss"')
    assert markup.startswith('<img alt="a &quot;loss&quot;"')
    assert len(markup) < 400_000


def test_alternative_text_is_escaped() -> None:
    with plots.styled():
        assert 'aria-label="&lt;b&gt;"' in plots.markup(plots.codebook([1, 1]), name="x", alt="<b>")


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plots.codebook([0, 0, 0]),
        lambda: plots.codebook([5]),
        lambda: plots.confusion([[0, 0], [0, 0]], ["a", "b"], title="LaBraM"),
        lambda: plots.scatter([], ["seconds"]),
        lambda: plots.scatter([(0, 0.4, 0.4)], ["left $knee", "right_knee"]),
        lambda: plots.intervals(
            [plots.Interval("AUROC", 0.5, np.nan, np.nan)], [plots.Interval("AUROC", np.nan, 0, 0)]
        ),
        lambda: plots.spectra(np.zeros((1, 200)), np.zeros((1, 200)), np.arange(200), ["F3"]),
        lambda: plots.hours(["a"], {"train": [0.0], "validation": [0.0], "test": [0.0]}),
        lambda: plots.curves([plots.Panel("Loss", "loss", [plots.Line("training", [1], [0.5])])]),
    ],
)
def test_extreme_input_is_drawn(figure) -> None:
    with plots.styled():
        assert plots.markup(figure(), name="x", alt="x").startswith("<svg")


def test_a_spectrum_is_drawn_up_to_half_the_sampling_rate_only() -> None:
    with plots.styled():
        figure = plots.spectra(np.zeros((1, 200)), np.zeros((1, 200)), np.arange(200), ["F3"])
    assert max(figure.axes[0].lines[0].get_xdata()) == 100


def test_marks_are_drawn_where_they_are() -> None:
    panel = plots.Panel("Loss", "loss", [plots.Line("training", [1, 2, 3], [3.0, 2.0, 1.0])], marks=(2,))
    with plots.styled():
        axes = plots.curves([panel]).axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [2, 2]]
