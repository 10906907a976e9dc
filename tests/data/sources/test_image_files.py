"""Claims about images found by what tables say, and about what is never opened."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from skinflow_jax.data.sources.image_files import ImageFiles
from skinflow_jax.data.sources.pictures import BytesPicture, FilePicture, from_base64
from skinflow_jax.errors import InputError


def photograph(path, colour=0, size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 150, colour)).save(path)
    return path


@pytest.mark.parametrize("ending", ["jpg", "JPG", "jpeg", "png", "webp", "tif", "bmp", "gif"])
def test_an_image_is_found_by_its_stem_whatever_its_ending(tmp_path, ending):
    path = photograph(tmp_path / "part_1" / f"a.{ending}")
    found = ImageFiles(tmp_path).by_stem("a", "t.csv row 2: id")
    assert found == FilePicture(path) and found.load().shape == (9, 12, 3)


def test_a_path_is_found_with_and_without_the_upper_folders_of_an_archive(tmp_path):
    path = photograph(tmp_path / "images" / "ä b.png")
    files = ImageFiles(tmp_path)
    for text in ("images/ä b.png", "dataset/images/ä b.png", "ä b.png", "images\\ä b.png"):
        assert files.named(text, "row") == FilePicture(path)


@pytest.mark.parametrize(
    "text", ["../secret.png", "images/../../secret.png", "/etc/passwd", "..", "images/.."]
)
def test_a_path_that_leaves_the_root_is_refused(tmp_path, text):
    photograph(tmp_path / "secret.png")
    photograph(tmp_path / "root" / "images" / "a.png")
    with pytest.raises(InputError, match=r"t\.csv row 2: image is .*which leaves .*path below it"):
        ImageFiles(tmp_path / "root").named(text, "t.csv row 2: image")


@pytest.mark.parametrize(
    "text",
    ["https://example.org/a.jpg", "http:/example.org/a.jpg", "gs://bucket/a.jpg", "file:///a"],
)
def test_an_address_is_refused_by_its_name(tmp_path, text):
    photograph(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"row 2: image is the address .*images are not fetched"):
        ImageFiles(tmp_path).named(text, "row 2: image")


@pytest.mark.parametrize("text", ["", ".", "a\0b.jpg", "/"])
def test_what_names_no_file_is_refused(tmp_path, text):
    photograph(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="row 2: image"):
        ImageFiles(tmp_path).named(text, "row 2: image")


def test_a_link_that_leaves_the_root_is_never_opened(tmp_path):
    secret = photograph(tmp_path / "secret.png")
    root = tmp_path / "root"
    photograph(root / "a.png")
    (root / "b.png").symlink_to(secret)
    (root / "c.png").symlink_to(root / "a.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    files = ImageFiles(root)
    for ask in (lambda: files.by_stem("b", "row 2"), lambda: files.named("b.png", "row 2")):
        with pytest.raises(InputError, match=r"row 2: .*b\.png is a link that leaves"):
            ask()
    assert files.by_stem("c", "row").load().shape == (9, 12, 3)
    with pytest.raises(InputError):
        files.by_stem("loop", "row").load()


def test_a_folder_that_is_a_link_outside_is_named_where_its_images_are_missed(tmp_path):
    photograph(tmp_path / "elsewhere" / "b.png")
    root = tmp_path / "root"
    photograph(root / "a.png")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"no image b\.jpg .*the link .*images leaves it"):
        ImageFiles(root).by_stem("b", "row 2")
    with pytest.raises(InputError, match="leaves"):
        ImageFiles(root).named("images/b.png", "row 2")


def test_the_root_itself_may_be_a_link(tmp_path):
    photograph(tmp_path / "disk" / "a.png")
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    assert ImageFiles(tmp_path / "data").by_stem("a", "row").load().shape == (9, 12, 3)


def test_two_files_of_one_name_are_one_image_or_a_contradiction(tmp_path):
    photograph(tmp_path / "1" / "a.png")
    photograph(tmp_path / "2" / "a.png")
    assert ImageFiles(tmp_path).by_stem("a", "row").path == tmp_path / "1" / "a.png"
    photograph(tmp_path / "3" / "a.png", colour=9)
    with pytest.raises(InputError, match=r"row 2: .* differ; remove the one that is wrong"):
        ImageFiles(tmp_path).named("a.png", "row 2")


def test_a_heic_file_is_refused_by_its_name_and_not_called_absent(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match=r"a\.heic: HEIC images are not read; save it as JPEG"):
        ImageFiles(tmp_path).by_stem("a", "row").load()


def test_an_absent_image_and_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"row 2: no image a\.jpg .*add the file or remove the"):
        ImageFiles(tmp_path).by_stem("a", "row 2")
    with pytest.raises(InputError, match="nowhere is no folder"):
        ImageFiles(tmp_path / "nowhere")


def test_a_digest_follows_the_bytes(tmp_path):
    path = photograph(tmp_path / "a.png")
    before = FilePicture(path).digest()
    assert before == BytesPicture("row", path.read_bytes()).digest()
    path.unlink()
    photograph(path, colour=1)
    assert FilePicture(path).digest() != before


def test_base64_with_and_without_its_head_is_the_image():
    data = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(data, "PNG")
    text = base64.b64encode(data.getvalue()).decode()
    for given in (text, f"data:image/png;base64,{text}", text[:40] + "\n" + text[40:]):
        np.testing.assert_array_equal(from_base64(given, "row").load()[0, 0], [255, 0, 0])


@pytest.mark.parametrize("text", ["a.png", "Qkx/iVBOR.png", "/9j/" + "x/" * 40 + "a.jpg", "f" * 64])
def test_a_path_is_not_taken_for_base64(text):
    assert from_base64(text, "row") is None


@pytest.mark.parametrize(
    "text", ["data:image/png;base64,iVBOR*", "data:image/png,abc", "iVBOR" + "A" * 80 + "*"]
)
def test_damaged_base64_is_refused(text):
    with pytest.raises(InputError, match="row 2: "):
        from_base64(text, "row 2")
