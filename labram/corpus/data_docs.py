"""Great Expectations' Data Docs of a validation, made to stand alone.

GX's pages load style sheets, scripts and a logo from elsewhere when they are opened, and are bare where there is no
way to the network. Here all of that is taken out, and a small style sheet for their class names is put in.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "data_docs"
_LOADED = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<nav class=\"navbar navbar-expand.*?</nav>\s*</div>\s*</nav>",
    re.DOTALL | re.IGNORECASE,
)
_FETCHED_BY_STYLE = re.compile(r"url\(\s*['\"]?https?:[^)]*\)")
_STYLE = """
body { margin: 0; color: #1d2733; font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif; }
* { box-sizing: border-box; }
.container-fluid { padding: 0 1.5rem; }
.row { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; }
.col-12, .col-md-10 { flex: 1 1 100%; min-width: 0; }
.col-6 { flex: 1 1 22rem; min-width: 0; }
.col-lg-2 { flex: 1 1 14rem; } .col-lg-2 + .col-md-10 { flex: 5 1 36rem; }
.sticky .card:first-of-type, footer, .ge-walkthrough-modal, .modal { display: none !important; }
.card, .alert { border: 1px solid #dfe4e9; border-radius: 4px; margin: .6rem 0; padding: .6rem .8rem; }
.alert { background: #f5f7f9; }
ul { list-style: none; padding: 0; margin: .4rem 0; }
h4, h5, h6 { margin: .6rem 0 .2rem; font-size: 1rem; }
a { color: #12446b; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #dfe4e9; }
.show-scrollbars { overflow-x: auto; }
.badge { background: #eef1f4; border-radius: 3px; padding: 0 .35rem; font: .82rem ui-monospace, Menlo, monospace; }
[data-toggle="collapse"], .popover { display: none; }
.fa-check-circle::before, .fa-circle-check::before { content: "\\2713"; color: #17613f; font-style: normal; }
.fa-times::before, .fa-xmark::before, .fa-times-circle::before, .fa-exclamation-triangle::before {
  content: "\\2717"; color: #962a2a; font-style: normal; }
@media (prefers-color-scheme: dark) { .table { color: inherit !important; background: none !important; } }
"""


def write(results: Mapping[str, Any], out: Path) -> None:
    """Write a page and the JSON of each validation, below the folder `FOLDER` of `out`.

    Args:
        results: Great Expectations' results by the name of the page; None for one that had nothing to check.
        out: The folder of the corpus.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, result in results.items():
        if result is None:
            continue
        page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
        (out / FOLDER / f"{name}.html").write_text(alone(page), encoding="utf-8")
        (out / FOLDER / f"{name}.json").write_text(json.dumps(result.to_json_dict(), indent=1), encoding="utf-8")


def alone(page: str) -> str:
    """The page without anything that is fetched when it is opened."""
    page = _FETCHED_BY_STYLE.sub("none", _LOADED.sub("", page))
    return page.replace("</head>", f"<link rel='icon' href='data:,'><style>{_STYLE}</style>\n</head>", 1)
