"""Compare the images of two runs."""

from collections.abc import Mapping, Sequence

from copycat.config.suggestions import one_of, pluralize
from copycat.records.image_index import ImageRecord

Key = tuple[str, str]


def image_changes(before: Sequence[ImageRecord], after: Sequence[ImageRecord]) -> tuple[str, list[str]]:
    """Describe the differing images in one line, and in one line per image."""
    old, new = _by_name(before), _by_name(after)
    both = [key for key in old if key in new]
    kinds = {
        "with other pixels": [key for key in both if old[key].digest != new[key].digest],
        "with another label": [key for key in both if old[key].label != new[key].label],
        "gone": [key for key in old if key not in new],
        "new": [key for key in new if key not in old],
    }
    changes = {kind: keys for kind, keys in kinds.items() if keys}
    if not changes:
        return "the same images in another order", []
    changed = list(dict.fromkeys(key for keys in changes.values() for key in keys))
    verb = "differs" if len(changed) == 1 else "differ"
    names = one_of((f"{part}: {name}" for part, name in changed), most=4)
    details = [f"{part}: {name}, {kind}" for kind, keys in changes.items() for part, name in keys]
    return f"{pluralize(len(changed), 'image')} {verb}: {names}", details if len(details) > 1 else list(changes)


def _by_name(images: Sequence[ImageRecord]) -> Mapping[Key, ImageRecord]:
    return {(image.part, image.name): image for image in images}
