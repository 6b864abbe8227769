"""ROC, precision-recall and reliability plots among TensorBoard's images."""

from io import BytesIO

import numpy as np
from PIL import Image

from copycat.config.extras import require_package
from copycat.inspection.callbacks.contact_sheet import image_summary
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.inspection.reports.classification_curves import compute_class_curves, compute_reliability
from copycat.inspection.reports.contents import COLORS
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
        """Write the plots to loggers."""
        if not (loggers := summary_loggers(context.loggers)):
            return
        from copycat.inspection.reports.confusion_plots import draw_class_curves, draw_reliability  # slow to import

        probability, label = context.probabilities.double().numpy(), context.data.parts["val"].labels.numpy()
        classes = context.data.classes
        curves = [*compute_class_curves(probability, label, classes)]
        title = f"first {COLORS} of {len(classes)} classes" if len(classes) > COLORS else ""
        reliability = compute_reliability(probability, label, classes)
        plots = {"roc": draw_class_curves(curves, title=title), "reliability": draw_reliability(reliability)}
        for name, png in plots.items():
            with Image.open(BytesIO(png)) as image:
                summary = image_summary(f"validation/{name}", np.asarray(image.convert("RGB")))
            for logger in loggers:
                logger.write(summary, context.epochs)
