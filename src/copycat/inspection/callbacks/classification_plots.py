"""ROC, precision-recall and reliability plots among TensorBoard's images."""

from io import BytesIO

import numpy as np
from PIL import Image

from copycat.config.extras import require_package
from copycat.inspection.callbacks.contact_sheet import image_summary
from copycat.inspection.callbacks.inspector import Inspector, tensorboard_loggers
from copycat.training.run_context import RunContext


class ClassificationPlots(Inspector):
    """Plot the final weights' predictions on the validation images.

    Raises:
        UserError: where matplotlib is missing.
    """

    def __init__(self) -> None:
        """Check that matplotlib is installed."""
        require_package("matplotlib", wanted_by="callbacks.plots")

    def on_run_end(self, context: RunContext) -> None:
        """Write the plots to TensorBoard."""
        if not (loggers := tensorboard_loggers(context.loggers)):
            return
        from copycat.inspection.reports.confusion_plots import (  # matplotlib is slow to import
            plot_reliability,
            plot_roc_and_precision,
        )

        probability, label = context.probabilities.double().numpy(), context.data.parts["val"].labels.numpy()
        for name, draw in (("roc", plot_roc_and_precision), ("reliability", plot_reliability)):
            with Image.open(BytesIO(draw(probability, label, context.data.classes))) as image:
                summary = image_summary(f"validation/{name}", np.asarray(image.convert("RGB")))
            for logger in loggers:
                logger.write(summary, context.epochs)
