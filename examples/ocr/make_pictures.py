#!/usr/bin/env python3
"""Draws the pictures of the OCR test into pictures/: examples/ocr/make_pictures.py. Needs `pillow` (13.0), whose own font it uses."""

import os

from PIL import Image, ImageDraw, ImageFont

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pictures")


def text(draw, x, y, line, size, ink):
    draw.text((x, y), line, fill=ink, font=ImageFont.load_default(size))


def receipt():
    picture = Image.new("L", (480, 360), 245)
    draw = ImageDraw.Draw(picture)
    text(draw, 40, 30, "Corner Bakery", 42, 20)
    text(draw, 40, 120, "2 croissants", 28, 40)
    text(draw, 340, 120, "4.80", 28, 40)
    text(draw, 40, 170, "1 sourdough", 28, 40)
    text(draw, 340, 170, "6.25", 28, 40)
    draw.line((40, 220, 430, 220), fill=90, width=2)
    text(draw, 40, 240, "Total", 32, 0)
    text(draw, 330, 240, "11.05", 32, 0)
    text(draw, 40, 300, "Thank you for coming!", 30, 60)
    return picture


def sign():
    """White on dark, and askew."""
    picture = Image.new("L", (520, 300), 40)
    draw = ImageDraw.Draw(picture)
    text(draw, 70, 90, "PLATFORM 12", 56, 250)
    text(draw, 70, 170, "Mind the gap", 36, 220)
    return picture.rotate(7, resample=Image.Resampling.BICUBIC, fillcolor=40)


def upside_down():
    picture = Image.new("L", (440, 200), 230)
    draw = ImageDraw.Draw(picture)
    text(draw, 30, 30, "This side up", 48, 10)
    text(draw, 30, 120, "Handle with care", 36, 10)
    return picture.rotate(180)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for make in (receipt, sign, upside_down):
        make().save(os.path.join(FOLDER, make.__name__ + ".png"), optimize=True)
    Image.new("L", (320, 240), 128).save(os.path.join(FOLDER, "empty.png"), optimize=True)


if __name__ == "__main__":
    main()
