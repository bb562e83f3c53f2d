"""Page of a model version: its origin as a drawn graph, and all that its tags state."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labram.registry import provenance
from labram.registry.provenance import KEYS, Provenance
from labram.reporting import plots
from labram.reporting.elements import ReportSection, Table, count, embed_figure
from labram.reporting.templates import environment

PAGE = "lineage.html"
LAYERS = ("corpus", "tokenizer", "backbone", "task models")
WIDTH, HEIGHT = 0.8, 0.62
_MOST_LETTERS = 26


def write(found: Provenance, out: Path) -> Path:
    """Write the page of a version to the file `out`, and return `out`."""
    version = found.version
    with plots.styled():
        sections = [_graph(found), _origin(found)]
    page = (
        environment()
        .get_template("sections.html")
        .render(
            kicker="labram model",
            title=f"{version.name} version {version.version}",
            simulated=False,
            answer=_answer(found),
            sections=sections,
            note="Subjects and recordings are not named.",
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _answer(found: Provenance) -> str:
    tags, built = found.version.tags, len(found.products(found.version.uri))
    state = ", ".join(found.version.aliases) or "no alias"
    return (
        f"{state[0].upper()}{state[1:]}. Gates: {tags.get('gate', 'not evaluated')}. "
        f"{count(built, 'model')} {'was' if built == 1 else 'were'} made from it."
    )


def _graph(found: Provenance) -> ReportSection:
    names = "; ".join(
        f"{found.nodes[source].title} → {found.nodes[target].title}" for source, target in sorted(found.edges)
    )
    figure = embed_figure(
        draw(found),
        name="lineage",
        alt=names or found.root.title,
        caption="What the version (dark) was made from, and what was made from it. Arrows lead from source to product.",
    )
    return ReportSection("graph", "Graph", figures=(figure,))


def _origin(found: Provenance) -> ReportSection:
    known = provenance.flat(found.version)
    rows = tuple((KEYS.get(key, key.replace("_", " ")), text) for key, text in known.items() if text)
    return ReportSection("origin", "Origin", tables=(Table("Origin", ("item", "value"), rows),))


def draw(found: Provenance) -> Figure:
    """Draw the graph: one column per kind, the version in the model's colour."""
    columns: dict[int, list[str]] = {}
    for key, node in found.nodes.items():
        columns.setdefault(provenance.layer(node), []).append(key)
    tallest = max(map(len, columns.values()))
    figure = Figure(figsize=(plots.FULL, 0.9 + 0.75 * tallest))
    axes = figure.subplots()
    places = {
        key: (float(column), (len(keys) - 1) / 2 - row)
        for column, keys in columns.items()
        for row, key in enumerate(keys)
    }
    for source, target in found.edges:
        _arrow(axes, places[source], places[target])
    for key, (x, y) in places.items():
        _box(axes, x, y, found.nodes[key].title, dark=key == found.version.uri)
    axes.set(xlim=(-0.5, 3.5), ylim=(-tallest / 2 - 0.1, tallest / 2 + 0.1))
    axes.set_xticks(range(len(LAYERS)), LAYERS)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "->", "color": plots.QUIET, "linewidth": 1.1}
    axes.annotate("", (end[0] - WIDTH / 2, end[1]), (start[0] + WIDTH / 2, start[1]), arrowprops=arrow)


def _box(axes: Axes, x: float, y: float, title: str, *, dark: bool) -> None:
    from matplotlib.patches import Rectangle

    fill, ink = (plots.MODEL, "white") if dark else ("white", plots.INK)
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    axes.add_patch(Rectangle(corner, WIDTH, HEIGHT, facecolor=fill, edgecolor=plots.MODEL, zorder=2))
    axes.text(x, y, _wrapped(title), color=ink, ha="center", va="center", fontsize=7.5, zorder=3)


def _wrapped(title: str) -> str:
    """Break a title into at most three lines, and shorten what is longer than a line."""
    lines: list[str] = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _MOST_LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(line if len(line) <= _MOST_LETTERS else f"{line[: _MOST_LETTERS - 1]}…" for line in lines[:3])
