"""The synthetic images: their pixels to the bit, their class balance, their cache."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from copycat.data.split import Part, digest
from copycat.data.synthetic import dataset
from copycat.data.synthetic.checksummed_npz import checksum
from copycat.data.synthetic.dataset import CLASS_COUNTS, Drawn, shuffled_labels

SHIPPED = "afe2c7977b1ed73c3f983e4f90dfb0e5a3e620d3e5e1fa309ed8ae2629f72359"
"""Of all pixels and labels of the set as it ships: what makes "the same on every machine" a checked claim."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Part]:
    """The whole set as it ships, drawn once for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPYCAT_CACHE", str(tmp_path_factory.mktemp("shipped")))
        return Drawn().load()


def image_tensor(part: Part) -> Tensor:
    assert isinstance(part.images, Tensor)
    return part.images


def no_drawing(*_: object, **__: object) -> None:
    raise AssertionError("drawn, where the cache should have been read")


def test_the_shipped_set_has_the_same_bits_on_every_machine(shipped: dict[str, Part]) -> None:
    arrays = {f"{name} images": image_tensor(part).numpy() for name, part in shipped.items()}
    arrays |= {f"{name} labels": part.labels.numpy() for name, part in shipped.items()}
    assert checksum(arrays, key="") == SHIPPED


@pytest.mark.parametrize(("name", "count", "cats"), [("train", 209, 72), ("val", 50, 33)])
def test_the_parts_have_the_real_sets_size_and_balance(
    shipped: dict[str, Part], name: str, count: int, cats: int
) -> None:
    part = shipped[name]
    assert (image_tensor(part).shape, image_tensor(part).dtype) == ((count, 3, 64, 64), torch.uint8)
    assert (part.labels.shape, part.labels.dtype) == ((count,), torch.int64)
    assert (len(part), int(part.labels.sum())) == (count, cats)
    assert part.names[17] == f"drawn {name}[17]"
    assert list(part.digests) == [digest(image) for image in image_tensor(part)]
    assert 0 < int(part.labels[:20].sum()) < 20, "the classes are not mixed"


def test_the_set_says_that_it_is_drawn() -> None:
    assert Drawn().synthetic
    assert tuple(Drawn().classes) == ("non-cat", "cat")


def test_no_picture_occurs_twice_within_or_across_parts_and_seeds(shipped: dict[str, Part]) -> None:
    other = Drawn(seed=1, train=20, val=10).load()
    digests = [digest for part in (*shipped.values(), *other.values()) for digest in part.digests]
    assert len(set(digests)) == len(digests) == 209 + 50 + 20 + 10


def test_a_picture_is_the_same_however_many_are_drawn(shipped: dict[str, Part]) -> None:
    few = Drawn(train=30, val=7).load()
    for name, part in few.items():
        assert torch.equal(image_tensor(part), image_tensor(shipped[name])[: len(part)])
        assert torch.equal(part.labels, shipped[name].labels[: len(part)])


def test_warmth_moves_colors_and_no_labels(shipped: dict[str, Part]) -> None:
    neutral = Drawn(warmth=0.0, train=12, val=3).load()["train"]
    assert torch.equal(neutral.labels, shipped["train"].labels[:12])
    warm, neutral_warmth = (
        (images[:, 0].double() - images[:, 2].double()).mean((1, 2))  # red over blue
        for images in (image_tensor(shipped["train"])[:12], image_tensor(neutral))
    )
    assert torch.equal((warm > neutral_warmth).long(), neutral.labels), (
        "cats should be warmer than without, the others colder"
    )


@pytest.mark.parametrize("name", ["train", "val"])
def test_every_size_holds_the_parts_share_of_cats_to_within_one(name: str) -> None:
    cats, total = CLASS_COUNTS[name]
    for seed in range(20):
        labels = shuffled_labels(seed, name, 3 * total)
        assert all(abs(sum(labels[:count]) - count * cats / total) < 1 for count in range(len(labels) + 1))


def test_a_share_of_cats_is_that_of_the_training_part_alone(shipped: dict[str, Part]) -> None:
    few = Drawn(train=40, val=10, cat_share=0.05).load()
    assert few["train"].labels.sum() == 2
    assert torch.equal(few["val"].labels, shipped["val"].labels[:10])


def test_the_second_load_reads_the_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Drawn(train=4, val=2).load()
    assert [file.suffix for file in own_cache.iterdir()] == [".npz"]
    monkeypatch.setattr(dataset, "draw_image", no_drawing)
    second = Drawn(train=4, val=2).load()
    assert all(torch.equal(image_tensor(first[name]), image_tensor(second[name])) for name in first)
    for other in (
        Drawn(train=5, val=2),
        Drawn(train=4, val=3),
        Drawn(seed=1, train=4, val=2),
        Drawn(warmth=0.1, val=2),
        Drawn(train=4, val=2, cat_share=0.5),
    ):
        with pytest.raises(AssertionError, match="should have been read"):
            other.load()


@pytest.mark.parametrize("damage", ["empty", "cut", "no archive", "one bit of an image", "another set's file"])
def test_a_damaged_cache_is_drawn_again_and_mended(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Drawn(train=4, val=2)
    first = source.load()
    whole = source.cache_file.read_bytes()
    place = whole.index(image_tensor(first["train"])[2].numpy().tobytes())
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    other = Drawn(seed=1, train=4, val=2)
    other.load()
    damaged = {"empty": b"", "cut": whole[:-100], "no archive": b"cats" * 100, "one bit of an image": flipped}
    source.cache_file.write_bytes(damaged.get(damage, other.cache_file.read_bytes()))
    assert list(source.load()["train"].digests) == list(first["train"].digests)
    assert source.cache_file.read_bytes() != damaged.get(damage)
    monkeypatch.setattr(dataset, "draw_image", no_drawing)
    assert list(source.load()["val"].digests) == list(first["val"].digests)


def test_a_folder_that_cannot_be_written_costs_the_cache_only(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_cache / "file").write_text("in the way")
    monkeypatch.setenv("COPYCAT_CACHE", str(own_cache / "file" / "folder"))
    assert len(Drawn(train=2, val=1).load()["train"]) == 2


def test_loading_prints_nothing_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    Drawn(train=3, val=1).load()
    assert capfd.readouterr().out == ""
