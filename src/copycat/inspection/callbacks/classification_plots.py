"""ROC, precision and recall, and reliability as plots among TensorBoard's images."""

from io import BytesIO

import numpy as np
from PIL import Image

from copycat.config.extras import require_package
from copycat.inspection.callbacks.contact_sheet import summary_of
from copycat.inspection.callbacks.inspector import Inspector, boards
from copycat.training.run_context import RunContext


class Plotted(Inspector):
    """Of the final weights.

    Raises:
        UserError: where matplotlib is missing.
    """

    def __init__(self) -> None:
        require_package("matplotlib", wanted_by="callbacks.plots")

    def on_run_end(self, context: RunContext) -> None:
        if not (found := boards(context.loggers)):
            return
        from copycat.inspection.reports.confusion_plots import (  # matplotlib takes half a second
            reliability,
            roc_and_precision,
        )

        probability, label = context.probabilities.double().numpy(), context.data.parts["val"].labels.numpy()
        for name, draw in (("roc", roc_and_precision), ("reliability", reliability)):
            with Image.open(BytesIO(draw(probability, label, context.data.classes))) as image:
                summary = summary_of(f"validation/{name}", np.asarray(image.convert("RGB")))
            for board in found:
                board.write(summary, context.epochs)
