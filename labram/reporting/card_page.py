"""The model card of a registered version as an HTML page, beside its Markdown."""

from markdown_it import MarkdownIt
from markupsafe import Markup

from labram.registry.front_matter import without_front_matter
from labram.reporting.templates import environment

FILE = "model_card.html"


def render(name: str, card: str) -> str:
    """Return the page of a model card; HTML in the card is shown as text.

    Args:
        name: Registered name.
        card: The card, Markdown with front matter.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = Markup(markdown.render(without_front_matter(card)))  # noqa: S704 - markdown-it escapes HTML
    return environment().get_template("card.html").render(title=name, body=body)
