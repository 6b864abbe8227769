"""Write the synthetic images as files."""

from pathlib import Path
from shlex import quote

from PIL import Image
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER
from copycat.data.synthetic.dataset import Drawn


def write_gallery(folder: Path, *, seed: int) -> str:
    """Write folder/PART/CLASS/NNN.png, which `data=folder` reads, and return a line that says how to train on them.

    Raises:
        UserError: where the folder is not empty, or the seed is below 0.
    """
    if seed < 0:
        raise UserError(f"--seed: expected a whole number ≥ 0; got {seed}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: expected a new or empty folder; got one that is in use.")
    source, count = Drawn(seed=seed), 0
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SYNTHETIC_MARKER).write_text(
        f"These images were drawn by Copycat, with seed {seed}; they are no photographs.\n"
    )
    for name, part in source.load().items():
        assert isinstance(part.images, Tensor)
        for index, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
            file = folder / name / source.classes[label] / f"{index:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
            count += 1
    return f"{count} images in {folder}; train on them: copycat train data=folder {quote(f'data.root={folder}')}"
