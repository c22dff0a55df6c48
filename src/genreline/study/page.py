"""A page in Markdown, built from safe pieces, and the same page as one HTML file that is accessible and prints well."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

FIGURES = "figures"
_PRINTED_WIDTH = 120  # characters of 7 points that A4 has room for


@dataclass
class Page:
    """Blocks of Markdown, and the PNG of each picture that they show by its file name.

    Text is shown literally: none of it is interpreted as Markdown or HTML.
    """

    blocks: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def heading(self, level: int, text: str) -> None:
        self.blocks.append(f"{'#' * level} {_escaped(text)}")

    def text(self, text: str) -> None:
        self.blocks.append(_paragraph(text))

    def flag(self, text: str) -> None:
        """A prominent warning."""
        self.blocks.append(f"> **Note:** {_escaped(text)}")

    def items(self, texts: Iterable[str]) -> None:
        self.blocks.append("\n".join(f"- {_paragraph(text)}" for text in texts))

    def links(self, headings: Iterable[str]) -> None:
        """A list of links to headings of level 2, by their texts."""
        self.blocks.append("\n".join(f"- [{_escaped(text)}](#{_anchor(text)})" for text in headings))

    def table(self, caption: str, rows: list[list[str]]) -> None:
        """Cells; the first row and the first column are headers. Columns of numbers are aligned to the right."""
        lines = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
        columns = list(zip(*rows[1:], strict=True))[1:]
        lines.insert(
            1, "| " + " | ".join(["---", *("---:" if _is_numeric(cells) else "---" for cells in columns)]) + " |"
        )
        self.blocks += [f"*{_escaped(caption)}*", "\n".join(lines)]

    def picture(self, name: str, png: bytes, caption: str, alt: str) -> None:
        """A figure: its file name, its PNG, its caption, and a description for readers who cannot see it."""
        self.pictures[name] = png
        self.blocks += [f"![{_escaped(alt)}]({FIGURES}/{quote(name)})", f"*{_escaped(caption)}*"]

    def extend(self, other: "Page") -> None:
        """Put another page after this one."""
        self.blocks += other.blocks
        self.pictures |= other.pictures

    def markdown(self) -> str:
        """The page in Markdown, with its pictures in the folder FIGURES next to it."""
        return "\n\n".join(self.blocks) + "\n"

    def html(self) -> str:
        """The page as a piece of HTML, its pictures within."""
        return html_of(self.markdown(), self.pictures)

    def html_file(self, title: str) -> str:
        """The page as an HTML file that needs no other."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escapeHtml(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n<main>\n{self.html()}</main>\n</body>\n</html>\n"
        )


def count_text(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n} {noun}{'s' * (n != 1)}"


def html_of(markdown: str, pictures: Mapping[str, bytes]) -> str:
    """Markdown as HTML: an emphasised paragraph before a table or after a picture becomes its caption."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    rendered: list[Token] = []
    while tokens:
        if (caption := _emphasis(tokens[:3])) and len(tokens) > 3 and tokens[3].type == "table_open":
            end = next(i for i, token in enumerate(tokens) if token.type == "table_close")
            rendered += _table(caption, tokens[3 : end + 1])
            tokens = tokens[end + 1 :]
        elif image := _only_child(tokens[:3], "image"):
            name = unquote(str(image.attrs["src"])).removeprefix(f"{FIGURES}/")
            image.attrs["src"] = f"data:image/png;base64,{base64.b64encode(pictures[name]).decode()}"
            caption = _emphasis(tokens[3:6])
            rendered += [
                _html("<figure>\n"),
                tokens[1],
                *([_html("\n<figcaption>"), caption, _html("</figcaption>")] if caption else []),
                _html("\n</figure>\n"),
            ]
            tokens = tokens[6:] if caption else tokens[3:]
        else:
            token, *tokens = tokens
            if token.type == "heading_open" and token.tag == "h2":
                token.attrSet("id", _anchor(_plain(tokens[0])))
            if token.type == "blockquote_open":
                token.attrSet("role", "note")
            rendered.append(token)
    return str(parser.renderer.render(rendered, parser.options, {}))


def _table(caption: Token, tokens: list[Token]) -> list[Token]:
    """A table in a region that scrolls and can be reached by keyboard, its first row and column as headers."""
    first_in_row = False
    for token in tokens:
        if token.type == "tr_open":
            first_in_row = True
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "td_open" and first_in_row:
            token.tag = "th"
            token.attrSet("scope", "row")
        elif token.type == "td_close":
            token.tag = "th" if first_in_row else "td"
            first_in_row = False
    label = escapeHtml(_plain(caption))
    kind = "table" if _width(tokens) <= _PRINTED_WIDTH else "table tight"
    return [
        _html(f'<div class="{kind}" role="region" tabindex="0" aria-label="{label}">\n'),
        tokens[0],
        _html("<caption><span>"),
        caption,
        _html("</span></caption>\n"),
        *tokens[1:],
        _html("</div>\n"),
    ]


def _width(table: list[Token]) -> int:
    """How many characters the columns of a table take at least: the longest word of each, and the space between."""
    cells = [_plain(token) for token in table if token.type == "inline"]
    n_columns = sum(token.type == "th_open" and token.attrs.get("scope") == "col" for token in table)
    return sum(
        2 + max(len(word) for cell in cells[i::n_columns] for word in cell.split() or [""]) for i in range(n_columns)
    )


def _is_numeric(cells: Iterable[str]) -> bool:
    """Whether most of a column are numbers or missing, as `0.5 ± 0.1` or `-`."""
    numeric = [re.fullmatch(r"[-+±.%\d ]+", cell) is not None for cell in cells]
    return 2 * sum(numeric) > len(numeric)


def _only_child(paragraph: list[Token], kind: str) -> Token | None:
    """The one token within a paragraph, if it is of this kind."""
    if [token.type for token in paragraph] != ["paragraph_open", "inline", "paragraph_close"]:
        return None
    children = paragraph[1].children or []
    return children[0] if len(children) == 1 and children[0].type == kind else None


def _emphasis(paragraph: list[Token]) -> Token | None:
    """What is within the emphasis of a paragraph that has nothing else, or None."""
    if [token.type for token in paragraph] != ["paragraph_open", "inline", "paragraph_close"]:
        return None
    children = paragraph[1].children or []
    if len(children) < 3 or children[0].type != "em_open" or children[-1].type != "em_close":
        return None
    inline = paragraph[1]
    inline.children = children[1:-1]
    return inline


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [])


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def _anchor(text: str) -> str:
    """The anchor that GitHub gives a heading, so that a link works there too."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _escaped(text: str) -> str:
    """The text on one line, with all characters escaped that Markdown or HTML would interpret."""
    return re.sub(r"[\\`*_{}\[\]<>|#$~&]", r"\\\g<0>", " ".join(text.split()))


def _paragraph(text: str) -> str:
    """The same for a paragraph, which a leading number or dash would turn into a list or a rule."""
    return re.sub(r"^(\d*)([.)]|[-+=]+)(?=\s|$)", r"\1\\\2", _escaped(text))


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --faint: #59626b; --paper: #fff; --line: #d5dade; --flag: #fff1d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --faint: #a3adb6; --paper: #14181c; --line: #3a434b; --flag: #463411; }
}
body { margin: 0 auto; padding: 1rem; max-width: 70rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h2 { margin-top: 3rem; border-top: 2px solid var(--line); padding-top: 1rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption, figcaption { text-align: left; color: var(--faint); font-size: .9rem; padding: .3rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; min-width: 3.5rem;
  white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper);
  min-width: 6.5rem; max-width: 14rem; white-space: normal; }
th:last-child, td:last-child { white-space: normal; min-width: 7rem; }
caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 3rem); }
figure { margin: 1.5rem 0; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .4rem; }
img:is([alt^="Confusion"], [alt^="Reliability"]) { max-width: min(100%, 36rem); }
blockquote { background: var(--flag); margin: 1rem 0; padding: .1rem .9rem; border-left: .4rem solid #d08700; }
@page { size: A4; margin: 1.5cm; }
@media print {
  :root { --ink: #000; --faint: #444; --paper: #fff; --line: #bbb; --flag: #fff; }
  body { font-size: 10pt; max-width: none; padding: 0; }
  h2, h3, caption { break-after: avoid; }
  figure, tr, blockquote { break-inside: avoid; }
  img { max-height: 24cm; }
  img:is([alt^="Confusion"], [alt^="Reliability"]) { max-width: 13cm; }
  .table { overflow: visible; break-inside: avoid; }
  table { font-size: 8.5pt; min-width: 12cm; }
  .table:has(th:nth-child(8)) table { font-size: 7pt; width: 100%; }
  .tight table { font-size: 5.5pt; table-layout: fixed; width: 100%; }
  thead { display: table-header-group; }
  th, td, th:first-child, th:last-child, td:last-child { min-width: 0; padding: .15rem .2rem; position: static;
    white-space: normal; overflow-wrap: break-word; }
  .tight :is(th, td) { padding: .15rem .05rem; overflow-wrap: anywhere; }
  .tight th:first-child { width: 1.7cm; }
  caption span { position: static; max-width: none; }
}
"""
