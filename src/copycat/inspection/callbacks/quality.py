"""Data quality: the deep check of a run's data, for its report."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from copycat.data.datamodule import DataModule
from copycat.data.pool import Pool
from copycat.inspection.callbacks.inspector import Inspector
from copycat.inspection.quality.deep_check import check_deep
from copycat.inspection.quality.features import why_no_features
from copycat.inspection.quality.image_lists import ImageList, write_image_lists
from copycat.inspection.quality.out_of_fold import Probabilities
from copycat.inspection.quality.thumbnails import make_image_lists
from copycat.training.run_context import RunContext


@dataclass(kw_only=True, eq=False)
class DataQuality(Inspector):
    """Check the images as `copycat data check --deep` does, and write the findings to quality.json.

    Without the packaged backbone, only the labels of validation images are checked, by the run's own predictions.
    """

    def on_run_end(self, context: RunContext) -> None:
        """Check the data, once for all trials of a pack, and write the file."""

        def predict(pool: Pool) -> Probabilities:
            probabilities = np.full((len(pool), len(context.data.classes)), np.nan)
            probabilities[np.array(pool.parts) == "val"] = context.probabilities.numpy()
            return probabilities

        lists = _lists.get(context.data)
        if lists is None:
            has_features = not why_no_features(context.data.image_shape[0])
            lists = make_image_lists(check_deep(context.data, predictions=None if has_features else predict))
            if has_features:
                _lists[context.data] = lists
        write_image_lists(context.folder, lists)


_lists: WeakKeyDictionary[DataModule, list[ImageList]] = WeakKeyDictionary()
"""What was found, by data, where it does not depend on the run."""
