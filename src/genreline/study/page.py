"""A page as a list of blocks (headings, texts, tables, pictures), and its two renderings, HTML and Markdown."""

import base64
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

FIGURES = "figures"


@dataclass(frozen=True)
class Heading:
    """A title; `anchor` is where the page's contents lead."""

    level: int
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph; a flagged one is a warning that must be seen."""

    text: str
    flag: bool = False


@dataclass(frozen=True)
class Items:
    """A list."""

    texts: list[str]


@dataclass(frozen=True)
class Table:
    """Cells; the first row and the first column are headers."""

    caption: str
    rows: list[list[str]]


@dataclass(frozen=True)
class Picture:
    """A figure: a PNG, the name of its file, its caption, and what it shows in words for who cannot see it."""

    name: str
    png: bytes
    caption: str
    alt: str


@dataclass(frozen=True)
class Contents:
    """Links to headings: (text, anchor)."""

    links: list[tuple[str, str]]


Block = Heading | Text | Items | Table | Picture | Contents

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --faint: #59626b; --paper: #fff; --line: #d5dade; --flag: #fff1d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --faint: #a3adb6; --paper: #14181c; --line: #3a434b; --flag: #463411; }
}
body { margin: 0 auto; padding: 1rem; max-width: 70rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h2 { margin-top: 3rem; border-top: 2px solid var(--line); padding-top: 1rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption, figcaption { text-align: left; color: var(--faint); font-size: .9rem; padding: .3rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; min-width: 3.5rem;
  white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper);
  min-width: 6.5rem; max-width: 14rem; white-space: normal; }
th:last-child, td:last-child { white-space: normal; min-width: 7rem; }
caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 3rem); }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .4rem; }
.flag { background: var(--flag); padding: .6rem .9rem; border-left: .4rem solid #d08700; }
"""


def render_html(title: str, blocks: Iterable[Block]) -> str:
    """A page that needs no other file."""
    body = "\n".join(map(html_of, blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def html_of(block: Block) -> str:
    """A block as a piece of HTML."""
    match block:
        case Heading(level, text, anchor):
            return f'<h{level} id="{html.escape(anchor)}">{html.escape(text)}</h{level}>'.replace(' id=""', "")
        case Text(text, flag=True):
            return f'<p class="flag" role="note"><strong>Look:</strong> {html.escape(text)}</p>'
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Items(texts):
            return "<ul>\n" + "\n".join(f"<li>{html.escape(text)}</li>" for text in texts) + "\n</ul>"
        case Table(caption, rows):
            head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in rows[0])
            body = "\n".join(
                f'<tr><th scope="row">{html.escape(row[0])}</th>'
                + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
                + "</tr>"
                for row in rows[1:]
            )
            return (
                f'<div class="table" role="region" tabindex="0" aria-label="{html.escape(caption)}">\n<table>\n'
                f"<caption><span>{html.escape(caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n"
                f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
            )
        case Picture(_, png, caption, alt):
            source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            return (
                f'<figure>\n<img src="{source}" alt="{html.escape(alt)}">\n'
                f"<figcaption>{html.escape(caption)}</figcaption>\n</figure>"
            )

        case Contents(links):
            items = "\n".join(f'<li><a href="#{html.escape(to)}">{html.escape(text)}</a></li>' for text, to in links)
            return f'<nav aria-label="Studies">\n<ul>\n{items}\n</ul>\n</nav>'


def render_markdown(blocks: Iterable[Block]) -> str:
    """The same in Markdown, its figures beside it in FIGURES."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text, anchor):
            return f'<a id="{html.escape(anchor)}"></a>\n\n' * bool(anchor) + f"{'#' * level} {_escaped(text)}"
        case Text(text, flag=True):
            return f"> **Look:** {_escaped(text)}"
        case Text(text):
            return _escaped(text)
        case Items(texts):
            return "\n".join(f"- {_escaped(text)}" for text in texts)
        case Table(caption, rows):
            lines = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
            lines.insert(1, f"| --- |{' ---: |' * (len(rows[0]) - 1)}")
            return f"*{_escaped(caption)}*\n\n" + "\n".join(lines)
        case Picture(name, _, caption, alt):
            return f"![{_escaped(alt)}]({FIGURES}/{quote(name)})\n\n*{_escaped(caption)}*"
        case Contents(links):
            return "\n".join(f"- [{_escaped(text)}](#{to})" for text, to in links)


def _escaped(text: str) -> str:
    """The text on one line, with whatever Markdown or HTML would read as more than text made harmless."""
    return re.sub(r"([\\`*_{}\[\]<>|#$~&])", r"\\\1", " ".join(text.split()))
