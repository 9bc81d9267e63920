"""The contact sheet has every picture of the pages once."""

import numpy as np
from PIL import Image

from docs.contact_sheet import COLUMNS, SIDE, contact_sheet, pictures


def test_every_picture_is_on_the_sheet_once(tmp_path):
    for number, colour in enumerate(["red", "green", "blue"]):
        Image.new("RGB", (4000, 20), colour).save(tmp_path / f"{number}.png")
    Image.new("RGB", (4000, 20), "white").save(tmp_path / "photo.jpg")
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text('<img alt="x" src="0.png"><img src="1.png"> <img src="0.png">')
    (tmp_path / "sub" / "b.html").write_text(
        '<img src="../2.png"><img src="../1.png"><img src="../photo.jpg">'
    )
    found = list(pictures(tmp_path))
    assert [(page, file.name) for page, file in found] == [
        ("a.html", "0.png"),
        ("a.html", "1.png"),
        ("sub/b.html", "2.png"),
        ("sub/b.html", "photo.jpg"),
    ]
    sheet = np.asarray(contact_sheet(found))
    for colour in ([255, 0, 0], [0, 128, 0], [0, 0, 255]):
        assert (sheet == colour).all(axis=-1).sum() == SIDE * 2  # 4000 x 20 pixels scaled to the cell's width
    assert sheet.shape[1] > COLUMNS * SIDE
