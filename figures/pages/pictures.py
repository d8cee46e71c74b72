"""Figures set into a page: SVG, with what they have in common kept once.

matplotlib writes each figure for itself: the outlines of its letters, a style on every line, six
decimals. A page of forty has the same letters forty times. Here letters and styles are the page's,
and what is less than a hundredth of a point is left off.
"""

from __future__ import annotations

import re
from pathlib import Path

_NUMBER = re.compile(r"-?\d+\.\d+")
_COORDINATES = re.compile(r' (d|x|y|width|height|transform)="([^"]*)"')
_SCALE = re.compile(r"((?:scale|rotate|matrix)\([^)]*\))")
_GLYPH = re.compile(r'<path id="(DejaVu[^"]*)"([^>]*)/>')
_GLYPH_USED = re.compile(r'href="#(DejaVu[^"]*)"')
_SHIFTED = re.compile(r' transform="translate\((\S+) 0\)"')


def _short(number: re.Match[str]) -> str:
    text = f"{float(number.group()):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _rounded(match: re.Match[str]) -> str:
    # Letters are scaled by 0.09 and the like: with two decimals they would change their size.
    parts = enumerate(_SCALE.split(match[2]))
    value = "".join(part if at % 2 else _NUMBER.sub(_short, part) for at, part in parts)
    if match[1] == "d":
        value = re.sub(r" ?([A-Za-z]) ?", r"\1", value)
    return f' {match[1]}="{value}"'


class Pictures:
    """The pictures of one page. Use each once: ids within one are its own."""

    def __init__(self) -> None:
        self._glyphs: dict[str, tuple[str, str]] = {}
        self._styles: dict[str, str] = {}
        self._count = 0

    def put(self, path: Path, alt: str) -> str:
        """Return the SVG file as markup for this page; ``alt``: escaped for an attribute.

        ValueError for a file that is not matplotlib's.
        """
        text = path.read_text(encoding="utf-8")
        view = re.search(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', text)
        if view is None:
            raise ValueError(f"{path}: an SVG without a viewBox; draw the figure again")
        body = text[view.end() : text.rindex("</svg>")]
        body = re.sub(
            r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL
        )
        body = re.sub(r'<g id="[^"]*"', "<g", " ".join(body.split()))
        body = self._own_ids(_COORDINATES.sub(_rounded, body).replace("xlink:href", "href"))
        body = _GLYPH_USED.sub(lambda m: f'href="#{self._glyphs[m[1]][0]}"', body)
        body = re.sub(r' style="([^"]*)"', self._styled, _SHIFTED.sub(r' x="\1"', body))
        for long, brief in (("> +<", "><"), (" +/>", "/>"), ("<defs></defs>", "")):
            body = re.sub(long, brief, body)
        self._count += 1
        return f'<svg class="pic" viewBox="{view[1]}" role="img" aria-label="{alt}">{body}</svg>'

    def _own_ids(self, body: str) -> str:
        """Take the letters out, and give what else is referred to a short name of its own."""
        body = _GLYPH.sub(self._kept, body)
        for at, name in enumerate(re.findall(r' id="([^"]+)"', body)):
            if f"#{name}" not in body:
                body = body.replace(f' id="{name}"', "")
            own = f"p{self._count}-{at}"
            for form in (' id="{}"', 'href="#{}"', "url(#{})"):
                body = body.replace(form.format(name), form.format(own))
        return body

    def _kept(self, glyph: re.Match[str]) -> str:
        outline = glyph[2]
        known = self._glyphs.setdefault(glyph[1], (f"g{len(self._glyphs)}", outline))
        if known[1] != outline:
            raise ValueError(f"letter {glyph[1]}: two outlines; draw the figures again")
        return ""

    def _styled(self, style: re.Match[str]) -> str:
        return f' class="{self._styles.setdefault(style[1], f"s{len(self._styles)}")}"'

    def letters(self) -> str:
        """The letters of all pictures, to stand somewhere on the page."""
        paths = "".join(f'<path id="{name}"{outline}/>' for name, outline in self._glyphs.values())
        return f'<svg class="letters" aria-hidden="true"><defs>{paths}</defs></svg>'

    def rules(self) -> str:
        """The style rules of all pictures."""
        rules = "".join(f".{name}{{{style}}}\n" for style, name in self._styles.items())
        return ".pic *{stroke-linejoin:round;stroke-linecap:butt}\n" + rules
