"""Pictures in a page: the same strokes, letters once, ids of their own; errors name the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from figures.pages.pictures import Pictures

SVG = """<?xml version="1.0"?>
<svg xmlns:xlink="x" width="9pt" viewBox="0 0 9 9" version="1.1">
 <metadata>who</metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="line2d_1"><!-- a word -->
  <path d="M 0.123456 -0.001
L 7.5 1.999 z
" clip-path="url(#p1)" style="fill: none"/>
  <g style="fill: #222222" transform="translate(1.23456 2) scale(0.085 -0.085)">
   <defs><path id="DejaVuSans-41" d="M 2188 4044" transform="scale(0.015625)"/></defs>
   <use xlink:href="#DejaVuSans-41"/>
   <use xlink:href="#DejaVuSans-41" transform="translate(63.623047 0)"/>
  </g>
 </g>
 <defs><clipPath id="p1"><rect x="1.5" y="2" width="3" height="4"/></clipPath></defs>
</svg>"""


def test_two_of_a_kind(tmp_path: Path) -> None:
    path = tmp_path / "one.svg"
    path.write_text(SVG, encoding="utf-8")
    pictures = Pictures()
    first, second = pictures.put(path, "words"), pictures.put(path, "words")
    assert first == (
        '<svg class="pic" viewBox="0 0 9 9" role="img" aria-label="words"><g>'
        '<path d="M0.12 0L7.5 2z" clip-path="url(#p0-0)" class="s0"/>'
        '<g class="s1" transform="translate(1.23 2) scale(0.085 -0.085)">'
        '<use href="#g0"/><use href="#g0" x="63.62"/></g></g>'
        '<defs><clipPath id="p0-0"><rect x="1.5" y="2" width="3" height="4"/></clipPath></defs>'
        "</svg>"
    )
    assert second == first.replace("p0-0", "p1-0")
    assert pictures.letters().count("<path") == 1
    assert 'd="M2188 4044" transform="scale(0.015625)"' in pictures.letters()
    assert ".s0{fill: none}\n.s1{fill: #222222}\n" in pictures.rules()


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "one.svg"
    path.write_text("<svg></svg>", encoding="utf-8")
    with pytest.raises(ValueError, match=r"one\.svg: an SVG without a viewBox"):
        Pictures().put(path, "")
    path.write_text(SVG, encoding="utf-8")
    pictures = Pictures()
    pictures.put(path, "")
    path.write_text(SVG.replace("2188", "2189"), encoding="utf-8")
    with pytest.raises(ValueError, match="DejaVuSans-41: two outlines"):
        pictures.put(path, "")
