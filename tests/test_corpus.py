"""Broken and odd files: each is handled, or named in one clear line."""

import io
import os
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from gconet.data.groups import list_groups, scan_groups
from gconet.data.images import load_image, load_mask
from gconet.errors import DataError

RNG = np.random.RandomState(0)
PIXELS = RNG.randint(0, 256, (24, 32, 3)).astype(np.uint8)


def encode(pixels=PIXELS, kind="PNG", **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def animation(kind):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


PALETTE = Image.fromarray(PIXELS).quantize(8)
DEEP = Image.fromarray(RNG.randint(0, 65536, (24, 32)).astype(np.uint16))
READ, SKIPPED, NO_PICTURE, HIDDEN = "read", "skipped", "named as no picture", "ignored"

# file name → content, what must become of it
CORPUS = {
    "plain.jpg": (encode(kind="JPEG"), READ), "truncated.jpg": (encode(kind="JPEG")[:-300], SKIPPED),
    "cut.png": (encode()[:-300], SKIPPED),
    "flipped bits.png": (encode()[:60] + bytes([encode()[60] ^ 255]) + encode()[61:], SKIPPED),
    "zero bytes.jpg": (b"", SKIPPED), "text.jpg": (b"this is no picture\n" * 9, SKIPPED),
    "header only.png": (encode()[:8], SKIPPED),
    "cmyk.jpg": (encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"), READ),
    "grey.jpg": (encode(PIXELS[..., 0].copy(), "JPEG"), READ), "16 bit.png": (encode(DEEP), READ),
    "one bit.png": (encode(Image.fromarray(PIXELS).convert("1")), READ),
    "palette with alpha.png": (encode(PALETTE, transparency=0), READ),
    "alpha.png": (encode(Image.fromarray(PIXELS).convert("RGBA")), READ),
    "moving.webp": (animation("WEBP"), READ), "animated.png": (animation("PNG"), READ),
    "waving.gif": (animation("GIF"), NO_PICTURE), "1x1.png": (encode(PIXELS[:1, :1].copy()), READ),
    "1x5000.png": (encode(np.zeros((5000, 1, 3), np.uint8)), READ),
    "5000x1.png": (encode(np.zeros((1, 5000, 3), np.uint8)), READ),
    "20000x20000.png": (png_header(20000, 20000), SKIPPED),
    "negative size.bmp": (b"BM" + b"\xff" * 60, SKIPPED), "a png.jpg": (encode(), READ),
    "a gif.png": (animation("GIF"), READ), "UPPER.JPG": (encode(kind="JPEG"), READ),
    "two.dots.png": (encode(), READ), "spaces  and 'quotes\".png": (encode(), READ),
    "new\nline.png": (encode(), READ), "tab\tand\x1b[31m.png": (encode(), READ),
    "<b>&amp;%41$x.png": (encode(), READ), unicodedata.normalize("NFC", "é composed.png"): (encode(), READ),
    unicodedata.normalize("NFD", "ü decomposed.png"): (encode(), READ),
    "emoji \U0001f43c.png": (encode(), READ), "-n.png": (encode(), READ), "--help.png": (encode(), READ),
    os.fsdecode(b"latin1 \xe9.png"): (encode(), READ), ".hidden.png": (encode(), HIDDEN),
    "._plain.jpg": (b"\0\5\x16\7 a fork of macOS", HIDDEN), ".DS_Store": (b"x", HIDDEN),
    "Thumbs.db": (b"x", HIDDEN), "notes.txt": (b"x", NO_PICTURE), "raw.cr3": (b"x", NO_PICTURE),
    "raw.heic": (b"x", SKIPPED), "no suffix": (encode(), NO_PICTURE),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "group"
    folder.mkdir()
    for name, (content, _) in CORPUS.items():
        (folder / name).write_bytes(content)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "nested").mkdir()
    (folder / "nested.png").mkdir()
    return folder


def stems(fate):
    names = [unicodedata.normalize("NFC", n) for n, (_, own) in CORPUS.items() if own == fate]
    return {n.rpartition(".")[0] for n in names} | ({"loop", "dangling"} if fate == SKIPPED else set())


def test_each_case_is_read_or_named(corpus):
    read, skipped, grey = set(), set(), set()
    for stem, path in list_groups(corpus)["group"].items():
        try:
            image = load_image(path)
        except DataError as error:
            assert str(path) in str(error) and error.exit_status == 1
            skipped.add(stem)
            continue
        assert image.mode == "RGB"
        try:
            mask = load_mask(path)
            assert mask.mode == "L" and mask.size == image.size
            grey.add(stem)
        except DataError as error:
            assert str(path) in str(error)
        read.add(stem)
    assert read == stems(READ) and skipped == stems(SKIPPED)
    assert grey == {"grey", "16 bit", "one bit", "1x5000", "5000x1"}


def test_the_commands_compute_the_rest_and_say_what_was_left_out(run, corpus, checkpoint, tmp_path):
    given = ["--checkpoint", checkpoint, "--images", corpus, "--output", tmp_path / "m"]
    done = run("test.py", *given, status=1)
    maps = {path.stem: path for path in (tmp_path / "m/group").iterdir()}
    assert maps.keys() == stems(READ)
    with Image.open(maps["1x5000"]) as m:
        assert m.size == (1, 5000)
    lines = done.stderr.splitlines()
    assert sum(line.startswith("skipped: ") for line in lines) == len(stems(SKIPPED)) == 11
    assert str(len(stems(SKIPPED))) in lines[-1]
    [note] = [line for line in lines if line.startswith("note: ")]
    for name in (name for name, (_, fate) in CORPUS.items() if fate == NO_PICTURE):
        assert name in note
    assert "20000x20000.png" in done.stderr
    assert (tmp_path / "m/index.html").is_file()
    for script, kind in (("cosegment", "masks"), ("thumbnails", "crops")):
        options = ["--images", corpus, "--maps", tmp_path / "m", "--output", tmp_path / script]
        done = run(f"scripts/{script}.py", *options, status=1)
        assert {path.stem for path in (tmp_path / script / kind / "group").iterdir()} == stems(READ)
        assert done.stderr.count("skipped: ") == len(stems(SKIPPED))


def test_folders_deeper_than_one_level_or_of_one_name_in_two_forms_are_refused(tmp_path):
    for folder in ("deep/a/b", *(f"twins/{unicodedata.normalize(form, 'Äpfel')}" for form in ("NFC", "NFD"))):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "c.png")
    for wrong in ("deep", "twins"):
        with pytest.raises(DataError, match=wrong):
            scan_groups(tmp_path / wrong)


def test_loops_of_links_end(run, checkpoint, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/again").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    Image.new("RGB", (4, 4)).save(tmp_path / "a/c.png")
    assert "loop" in run("test.py", "--images", tmp_path / "loop", status=1).stderr
    assert [group.name for group in scan_groups(tmp_path)] == ["a"]
    given = ["--checkpoint", checkpoint, "--images", tmp_path / "a", "--output", tmp_path / "out"]
    assert "1 map of 1 group " in run("test.py", *given).stdout


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"garbage in the EXIF chunk", b"Exif\0\0II*\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_damaged_exif_costs_the_orientation_alone(tmp_path, exif):
    (tmp_path / "a.png").write_bytes(encode(exif=exif))
    (tmp_path / "deep.png").write_bytes(encode(DEEP, exif=exif))
    (tmp_path / "grey.png").write_bytes(encode(PIXELS[..., 0].copy(), exif=exif))
    for name in ("a.png", "deep.png", "grey.png"):
        assert load_image(tmp_path / name).size == (32, 24)
    for name in ("deep.png", "grey.png"):  # a.png is in colour
        assert load_mask(tmp_path / name).size == (32, 24)


@pytest.mark.parametrize("pixels", [Image.fromarray(PIXELS), DEEP])
def test_each_orientation_is_as_pillow_has_it(tmp_path, pixels):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        (tmp_path / "a.png").write_bytes(encode(pixels, exif=exif.tobytes()))
        plain = pixels if pixels is not DEEP else Image.fromarray((np.asarray(DEEP) >> 8).astype(np.uint8))
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encode(plain, exif=exif.tobytes()))))
        assert np.array_equal(load_image(tmp_path / "a.png"), upright.convert("RGB")), orientation


def test_pipes_and_what_other_programs_would_decode_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="pipe.png"):
        load_image(tmp_path / "pipe.png")
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(DataError, match="a.png"):
        load_image(tmp_path / "a.png")


def test_a_side_that_jpeg_cannot_hold_is_named(run, tmp_path):
    for folder in ("images/g", "maps/g"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (66000, 2)).save(tmp_path / folder / "long.png")
        Image.new("L", (20, 20)).save(tmp_path / folder / "plain.png")
    options = ["--images", tmp_path / "images", "--maps", tmp_path / "maps", "--output", tmp_path / "out"]
    assert "2 thumbnails" in run("scripts/thumbnails.py", *options).stdout  # crops are small
    done = run("scripts/cosegment.py", *options, "--background", "white", "--overwrite", status=1)
    assert "1 cut-out" in done.stdout and "long.png" in done.stderr
