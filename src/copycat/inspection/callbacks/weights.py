"""First-layer weights as images: evidence for and against each unit."""

from copycat.inspection.callbacks.contact_sheet import contact_sheet, image_summary
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.inspection.reports.weight_images import draw_weights
from copycat.training.run_context import RunContext


class WeightImages(Inspector):
    """Write the first-layer weights of the final network as images."""

    def on_run_end(self, context: RunContext) -> None:
        """Write the images to loggers."""
        loggers = summary_loggers(context.loggers)
        weights, image_shape = context.classifier.network.state_dict(), context.data.image_shape
        images = draw_weights(weights, image_shape=image_shape) if loggers else []
        for logger in loggers if images else ():
            logger.write(image_summary("weights/first_layer", contact_sheet(images, columns=8)), context.epochs)
