"""Make thumbnails of the images that a deep check found."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from copycat.data.decode import to_upright_rgb
from copycat.data.pool import Pool
from copycat.inspection.callbacks.contact_sheet import encode_jpeg
from copycat.inspection.quality.deep_check import DeepCheck
from copycat.inspection.quality.findings import Finding, FoundImage, list_findings
from copycat.inspection.quality.image_lists import ImageList
from copycat.inspection.reports.contents import Thumbnail

SIDE = 128
"""Side of a thumbnail in pixels, at most."""
MAX_IMAGES = 60
"""Images of a list, at most; the table has all."""
MAX_GROUP = 12
"""Images of a group of near-duplicates, at most."""


def make_image_lists(check: DeepCheck) -> list[ImageList]:
    """Make the lists of all kinds of findings, with thumbnails of their first images."""
    return [
        ImageList(finding.title, finding.note, finding.count, list(_make_thumbnails(check.pool, finding)))
        for finding in list_findings(check)
    ]


def _make_thumbnails(pool: Pool, finding: Finding) -> Iterator[list[Thumbnail]]:
    shown = 0
    for group in finding.groups:
        if shown and shown + len(group) > MAX_IMAGES:
            return
        yield [_make_thumbnail(pool, found) for found in group[:MAX_GROUP]]
        shown += len(group)


def _make_thumbnail(pool: Pool, found: FoundImage) -> Thumbnail:
    image = np.asarray(pool.read(found.index, shrink))
    return Thumbnail(encode_jpeg(image), pool.images.names[found.index], found.caption)


def shrink(image: Image.Image) -> Image.Image:
    """Return a thumbnail of an open image."""
    image.draft(None, (2 * SIDE, 2 * SIDE))
    small = to_upright_rgb(image)
    small.thumbnail((SIDE, SIDE))
    return small
