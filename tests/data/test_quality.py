"""What a look over a set finds, in plain lists and short lines."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from copycat.data import quality
from copycat.data.datamodule import DataModule
from copycat.data.quality import DataCheck, Duplicate, check_data
from copycat.data.sources.cats import Cats
from copycat.data.split import Part
from tests.support.parts import make_part


def make_solid_images(*colors: tuple[int, ...] | int) -> torch.Tensor:
    """Make images of 4x4 pixels, each of one color."""
    colors = tuple(color if isinstance(color, tuple) else (color,) * 3 for color in colors)
    return torch.tensor(colors, dtype=torch.uint8)[:, :, None, None].repeat(1, 1, 4, 4)


class PartsSource:
    def __init__(self, classes: Sequence[str], synthetic: bool, parts: dict[str, Part]) -> None:
        self.classes, self.synthetic, self.parts = classes, synthetic, parts

    def load(self) -> dict[str, Part]:
        return self.parts


def check_parts(*, classes: Sequence[str] = ("dog", "cat"), synthetic: bool = False, **parts: Part) -> DataCheck:
    return check_data(DataModule(PartsSource(classes, synthetic, parts)))


def make_plain_part(*shades: int) -> Part:
    """Images of these shades, dog and cat by turns."""
    return make_part(
        make_solid_images(*shades), [index % 2 for index in range(len(shades))], [f"shade {shade}" for shade in shades]
    )


def test_a_set_with_nothing_odd_gives_no_warning() -> None:
    found = check_parts(train=make_plain_part(100, 101, 102, 103), val=make_plain_part(99, 104))
    assert (found.warnings, found.within, found.across, found.unreadable) == ([], [], [], [])


def test_names_that_are_not_utf_8_are_named() -> None:
    train = make_part(make_solid_images(100, 101, 102, 103), [0, 1, 0, 1], ["a", "b\udcff", "c", "d\udcfe"])
    (line,) = check_parts(train=train, val=make_plain_part(99, 104)).warnings
    assert line == "2 files with a name that is not UTF-8, which tables cannot hold: 'b\\udcff'. Rename them"


@pytest.mark.parametrize(
    ("classes", "warning"),
    [
        (("Cat", "cat"), "Cat and cat differ in case alone: are they one class?"),
        (("k\u00e4", "ka\u0308"), "k\u00e4 and ka\u0308 differ in the encoding of letters alone: are they one class?"),
        (("x2", "x\u00b2"), None),
        (("01", "1"), "01 and 1 differ in leading zeros alone: are they one class?"),
        (("0", "10"), None),
    ],
)
def test_classes_whose_names_look_alike_are_named(classes: Sequence[str], warning: str | None) -> None:
    found = check_parts(classes=classes, train=make_plain_part(100, 101, 102, 103), val=make_plain_part(99, 104))
    assert found.warnings == [warning] * (warning is not None)


def test_groups_whose_names_look_alike_are_named() -> None:
    train = replace(make_plain_part(100, 101, 102, 103), groups=["1", "Rosa", "2", "3"])
    val = replace(make_plain_part(99, 104), groups=["4", "rosa"])
    assert check_parts(train=train, val=val).warnings == ["Rosa and rosa differ in case alone: are they one group?"]


@pytest.mark.parametrize(
    ("labels", "warnings"),
    [
        ([0, 1, 1], []),
        ([1, 0, 1, 1], ["train is imbalanced: 3 of cat, 1 of dog"]),
        ([0, 0, 0, 0], ["no image of cat in train"]),
    ],
)
def test_a_class_that_is_three_times_as_large_gives_a_line_with_both_counts(
    labels: list[int], warnings: list[str]
) -> None:
    train = make_part(make_solid_images(*range(len(labels))), labels)
    found = check_parts(train=train, val=make_plain_part(8, 9)).warnings
    assert [line for line in found if "imbalanced" in line or "no image" in line] == warnings


# ----- counts and colors


def test_counts_and_shares_are_those_of_the_labels() -> None:
    found = check_parts(
        train=make_part(make_solid_images(1, 2, 3, 4), [0, 1, 1, 1]), val=make_part(make_solid_images(5), [0])
    ).parts
    assert found["train"].images == 4
    assert dict(found["train"].counts) == {"dog": 1, "cat": 3}
    assert found["train"].share("cat") == 0.75
    assert dict(found["val"].counts) == {"dog": 1, "cat": 0}


def test_the_mean_color_is_that_of_all_pixels_to_the_last_digit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 3, 9, 7), dtype=np.uint8)
    train, val = make_part(torch.from_numpy(pixels), [0, 1] * 18 + [0]), make_part(torch.from_numpy(pixels[:1]), [0])
    found = check_parts(train=train, val=val).parts["train"]
    for channel in range(3):
        exact = sum(pixels[:, channel].ravel().tolist()) / (37 * 9 * 7)
        assert found.color[channel] == pytest.approx(exact, rel=1e-12)
    assert found.brightness == pytest.approx(sum(pixels.ravel().tolist()) / pixels.size, rel=1e-12)


def test_images_of_one_channel_have_one_mean() -> None:
    gray = make_part(make_solid_images((7,), (9,)), [0, 1])
    assert list(check_parts(train=gray, val=make_part(make_solid_images((8,)), [0])).parts["train"].color) == [8.0]


def test_of_many_images_on_demand_some_from_all_over_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class OnDemand:
        shape = (100, 3, 4, 4)

        def __getitem__(self, index: int) -> torch.Tensor:
            asked.append(index)
            return make_solid_images(index)[0]

    monkeypatch.setattr(quality, "COLOR_SAMPLE", 20)
    words = [str(index) for index in range(100)]
    large = Part(images=OnDemand(), labels=torch.tensor([0, 1] * 50), names=words, digests=words)
    found = check_parts(train=large, val=make_plain_part(48, 50))
    assert sorted(asked) == list(range(0, 100, 5))
    assert found.parts["train"].brightness == pytest.approx(47.5)


# ----- duplicates


def test_images_twice_within_a_part_and_across_parts_are_told_apart() -> None:
    found = check_parts(
        train=make_plain_part(10, 11, 12, 13, 10, 10), val=make_plain_part(12, 15), test=make_plain_part(16, 17, 18, 17)
    )
    assert [[twin.name for twin in twins] for twins in found.within] == [["shade 10"] * 3, ["shade 17"] * 2]
    assert found.across == [[Duplicate("train", "shade 12", "dog"), Duplicate("val", "shade 12", "dog")]]
    assert found.warnings[:2] == [
        "1 image twice across parts: shade 12 = shade 12",
        "2 images twice within a part: shade 10 = shade 10",
    ]


def test_a_difference_of_one_pixel_by_one_is_no_duplicate() -> None:
    pair = make_solid_images(10, 10)
    pair[1, 2, 3, 3] += 1
    assert check_parts(train=make_part(pair, [0, 1]), val=make_plain_part(11, 12)).warnings == []


def test_an_image_under_two_classes_is_reported_by_the_names_that_contradict() -> None:
    train = make_part(make_solid_images(10, 10, 10, 20), [0, 0, 1, 1], ["dog/a", "dog/b", "cat/c", "cat/d"])
    assert "1 image under two classes: dog/a = cat/c" in check_parts(train=train, val=make_plain_part(11, 12)).warnings


def test_a_duplicate_across_parts_is_named_by_one_image_of_each() -> None:
    train = make_part(make_solid_images(10, 10, 30), [0, 0, 1], ["a", "b", "c"])
    val = make_part(make_solid_images(10, 31), [0, 1], ["d", "e"])
    assert check_parts(train=train, val=val).warnings[0] == "1 image twice across parts: a = d"


# ----- shifts


@pytest.mark.parametrize(
    ("cats_of_20", "warnings"),
    [
        (7, ["cat is 50% of train but 35% of val"]),
        (9, []),
        (11, []),
        (13, ["cat is 50% of train but 65% of val"]),
    ],
)
def test_a_shift_of_class_share_by_more_than_a_tenth_is_reported(cats_of_20: int, warnings: list[str]) -> None:
    train = make_part(make_solid_images(*range(100, 120)), [0, 1] * 10)
    val = make_part(make_solid_images(*range(120, 140)), [int(place < cats_of_20) for place in range(20)])
    assert [line for line in check_parts(train=train, val=val).warnings if "brightness" not in line] == warnings


@pytest.mark.parametrize(
    ("color", "warning"),
    [
        ((109, 109, 109), None),
        ((110, 110, 110), "brightness 100 in train but 110 in val"),
        ((90, 90, 90), "brightness 100 in train but 90 in val"),
        ((109, 91, 100), None),
        ((110, 90, 100), "colors differ between train and val"),
    ],
)
def test_a_shift_of_brightness_or_color_is_reported_from_ten_on(color: tuple[int, ...], warning: str | None) -> None:
    train, val = make_part(make_solid_images(99, 101), [0, 0]), make_part(make_solid_images(color), [0])
    warnings = check_parts(train=train, val=val, classes=["thing"]).warnings
    assert warnings == ([warning] if warning else [])


def test_of_many_classes_the_largest_shift_alone_is_named() -> None:
    classes = [f"class {index}" for index in range(30)]
    train = make_part(make_solid_images(*range(60)), list(range(30)) * 2)
    val = make_part(make_solid_images(*range(60, 120)), [*range(30), *[7] * 20, *[9] * 10])
    shifts = [line for line in check_parts(classes=classes, train=train, val=val).warnings if "of train but" in line]
    assert shifts == ["class 7 is 3% of train but 35% of val"]


def test_a_class_that_a_part_lacks_is_named() -> None:
    classes = ["ant", "bee", "cow", "dog"]
    found = check_parts(
        classes=classes,
        train=make_part(make_solid_images(1, 2, 3), [0, 1, 2]),
        val=make_part(make_solid_images(4, 5), [0, 3]),
    )
    assert "no image of dog in train" in found.warnings
    assert "no image of bee and 1 more in val" in found.warnings


# ----- in a run's summary


def test_unreadable_files_are_listed_once_though_a_cut_has_them_in_two_parts() -> None:
    broken = ["cat/b.png: cut short", "cat/a.png: empty"]
    found = check_parts(train=make_part(make_solid_images(*range(100, 120)), [0, 1] * 10, unreadable=broken))
    assert set(found.parts) == {"train", "val"}
    assert found.unreadable == ["cat/a.png: empty", "cat/b.png: cut short"]
    assert found.warnings == ["2 unreadable, left out: cat/a.png: empty"]


def test_drawn_images_are_said_to_be_drawn() -> None:
    found = check_parts(synthetic=True, train=make_plain_part(1, 2), val=make_plain_part(3, 4))
    assert found.warnings == ["these images are drawn, not photographed"]


def test_warnings_stay_short_however_long_the_names() -> None:
    name = f"train/dog/{'a long name ' * 30}"
    broken = [f"{name}.png: not an image"]
    train = make_part(make_solid_images(1, 1, 2), [0, 1, 1], [f"{name}{n}.png" for n in range(3)], broken)
    classes = [f"dog {'of a kind ' * 20}", f"cat {'of a kind ' * 20}"]
    warnings = check_parts(classes=classes, train=train, val=make_part(make_solid_images(1, 90), [0, 0])).warnings
    assert len(warnings) == 6
    assert all(len(line) <= 125 and "\n" not in line for line in warnings), warnings
    assert warnings[0].startswith("1 image twice across parts: train/dog/")
    assert "name 0.png = " in warnings[0]


# ----- the real data


@pytest.mark.usefixtures("cats_folder")
def test_the_real_cats_have_one_duplicate_and_a_shift_of_class_share() -> None:
    found = check_data(DataModule(Cats()))
    assert found.warnings == [
        "1 image twice across parts: train[146] = val[17]",
        "cat is 34% of train but 66% of val",
    ]
    assert found.across == [[Duplicate("train", "train[146]", "cat"), Duplicate("val", "val[17]", "cat")]]
    assert {name: dict(part.counts) for name, part in found.parts.items()} == {
        "train": {"non-cat": 137, "cat": 72},
        "val": {"non-cat": 17, "cat": 33},
    }


def test_groups_are_counted_and_those_in_two_parts_are_reported() -> None:
    train = replace(make_plain_part(10, 11, 12), groups=["rex", "tom", "rex"])
    val = replace(make_plain_part(13, 14), groups=["tom", "ann"])
    found = check_parts(train=train, val=val)
    assert found.groups == {"ann": {"val": 1}, "rex": {"train": 2}, "tom": {"train": 1, "val": 1}}
    assert found.leaking_groups == {"tom": {"train": 1, "val": 1}}
    assert "1 group across parts: tom, 1 in train, 1 in val" in found.warnings
    assert check_parts(train=make_plain_part(1, 2, 3, 4)).groups == {}
