"""Parse HTML pages into texts, tables, images and the URLs that a browser would load."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

URL_ATTRIBUTES = ("src", "href", "srcset", "data", "action", "poster")
"""Attributes that hold a URL to load."""


@dataclass
class ParsedPage(HTMLParser):
    """Collect the contents of a page."""

    texts: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    images: list[tuple[str, str]] = field(default_factory=list)
    """Source and text alternative."""
    loaded_urls: list[str] = field(default_factory=list)
    """URLs that a browser would load; fragments and embedded images are left out."""
    tags: set[str] = field(default_factory=set)
    """Tags of its elements, without those of its own scripts."""
    data: list[Any] = field(default_factory=list)
    """Data blocks of its charts."""
    rows: list[list[str]] = field(default_factory=list)
    """Cells of each table row."""

    def __post_init__(self) -> None:
        super().__init__()
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._within = tag
        if tag == "script":
            self._within = found.get("type", "script")
            return
        self.tags.add(tag)
        if tag == "img":
            self.images.append((found["src"], found["alt"]))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        named = [value for name, value in found.items() if name in URL_ATTRIBUTES]
        self.loaded_urls += [value for value in named if not value.startswith(("#", "data:image/"))]

    def handle_data(self, data: str) -> None:
        if self._within == "application/json":
            self.data.append(json.loads(data))
        if self._within in ("application/json", "script", "style"):
            return
        self.texts.append(data)
        if self._within in ("th", "td"):
            self.rows[-1][-1] += data
        if self._within in ("h1", "h2"):
            self.headings.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._within = ""


def parse_html(html: str) -> ParsedPage:
    """Parse a page."""
    page = ParsedPage()
    page.feed(html)
    page.close()
    return page
