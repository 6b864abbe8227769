"""Write a folder of drawn images with planted faults: near-duplicates, blank, blurred, small and wide images."""

from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

from copycat.data.pool import to_image
from copycat.data.synthetic.dataset import Drawn

BICUBIC = Image.Resampling.BICUBIC
NEAR_DUPLICATES = {
    "val/cat/compressed.jpg": "train/cat/0.png",
    "train/cat/enlarged.jpg": "train/cat/1.png",
    "train/cat/mirrored.png": "train/cat/2.png",
    "val/cat/brighter.png": "train/cat/3.png",
    "train/non-cat/copy.png": "train/non-cat/0.png",
}
"""Planted images that a perceptual hash finds, each with its original."""
CROP = ("train/non-cat/cropped.png", "train/non-cat/3.png")
"""A planted image that features find, with its original."""


def write_planted(root: Path) -> Path:
    """Write 60 images of train and 20 of val, one sub-folder per class, and the planted ones; return `root`."""
    source = Drawn(train=60, val=20)
    images: dict[str, Image.Image] = {}
    for part, loaded in source.load().items():
        count = dict.fromkeys(source.classes, 0)
        for index, label in enumerate(loaded.labels.tolist()):
            name = source.classes[label]
            images[f"{part}/{name}/{count[name]}.png"] = to_image(loaded.images[index])
            count[name] += 1
    images |= {
        "val/cat/compressed.jpg": images["train/cat/0.png"],
        "train/cat/enlarged.jpg": images["train/cat/1.png"].resize((1200, 1200), BICUBIC),
        "train/cat/mirrored.png": images["train/cat/2.png"].transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "val/cat/brighter.png": ImageEnhance.Brightness(images["train/cat/3.png"]).enhance(1.15),
        "train/non-cat/copy.png": images["train/non-cat/0.png"],
        CROP[0]: images[CROP[1]].resize((64, 64), BICUBIC, box=(3, 3, 61, 61)),
        "train/cat/blank.png": Image.new("RGB", (64, 64), (120, 130, 125)),
        "train/cat/blurred.png": images["val/cat/0.png"].filter(ImageFilter.GaussianBlur(2)),
        "train/cat/wide.png": images["val/cat/1.png"].crop((0, 20, 64, 44)),
    }
    for name, image in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name, quality=50) if name.endswith("jpg") else image.save(root / name)
    return root
