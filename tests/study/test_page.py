"""A page's Markdown and HTML say the same, whatever text they are given."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from genreline.study.page import Page

TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40).filter(str.strip)


class Shown(HTMLParser):
    """The text of an HTML piece, and its tags with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def words(text):
    return " ".join(text.split())


@given(TEXTS)
def test_text_is_shown_as_it_is(text):
    page = Page()
    page.text(text)
    shown = Shown(page.html())
    assert words(shown.text) == words(text)
    assert {tag for tag, _ in shown.tags} == {"p"}


@given(TEXTS, TEXTS)
def test_a_table_has_its_caption_and_headers(caption, cell):
    page = Page()
    page.table(caption, [["name", cell], [cell, "1"]])
    shown = Shown(page.html())
    headers = [attributes.get("scope") for tag, attributes in shown.tags if tag == "th"]
    assert headers == ["col", "col", "row"]
    assert words(shown.text) == words(f"{caption} name {cell} {cell} 1")
    region = next(attributes for tag, attributes in shown.tags if attributes.get("role") == "region")
    assert words(region["aria-label"]) == words(caption)


@pytest.mark.parametrize("text", ["1. first", "- x", "+ x", "---", "===", "* x", "# x", "> x", "![a](b)", "<b>", "a\\"])
def test_no_text_becomes_a_list_a_rule_or_markup(text):
    page = Page()
    page.text(text)
    page.items([text])
    tags = {tag for tag, _ in Shown(page.html()).tags}
    assert tags == {"p", "ul", "li"}


def test_a_picture_has_its_words_and_its_caption():
    page = Page()
    page.picture("a b.png", b"PNG", "What | it is", "What <it> shows")
    shown = Shown(page.html())
    image = next(attributes for tag, attributes in shown.tags if tag == "img")
    assert image["src"] == "data:image/png;base64,UE5H"
    assert image["alt"] == "What <it> shows"
    assert [tag for tag, _ in shown.tags] == ["figure", "img", "figcaption"]
    assert "(figures/a%20b.png)" in page.markdown()


def test_links_lead_to_headings():
    page = Page()
    page.links(["3.5 batch & norm_2"])
    page.heading(2, "3.5 batch & norm_2")
    tags = Shown(page.html()).tags
    target = next(attributes["href"] for tag, attributes in tags if tag == "a")
    assert target == "#" + next(attributes["id"] for tag, attributes in tags if tag == "h2") == "#35-batch--norm_2"
    assert re.search(r"\(#35-batch--norm_2\)", page.markdown())
    assert MarkdownIt().render(page.markdown()).count("<a ") == 1


@pytest.mark.slow
def test_no_table_is_cut_on_a_printed_page(browser, tmp_path):
    """A4 is 794 pixels wide at 96 to the inch, and the margins of 1.5 cm leave 680."""
    page = Page()
    page.table("wide", [["variant", *(f"optimizer {i}" for i in range(12))], ["macro F1", *["0.563 ± 0.009"] * 12]])
    (tmp_path / "page.html").write_text(page.html_file("print"))
    opened = browser.new_page(viewport={"width": 680, "height": 900})
    opened.emulate_media(media="print")
    opened.goto((tmp_path / "page.html").as_uri())
    assert opened.evaluate("document.querySelector('table').getBoundingClientRect().right") <= 680
    opened.close()
