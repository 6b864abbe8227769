"""Train the lecture's job on Keras 3, by model.fit with its defaults, a CSV log and a checkpoint per epoch.

KERAS_BACKEND names the backend: jax or torch.
"""

import time

import job
import keras
import numpy as np
import torch


def lecture_start(features: int, seed: int) -> list[np.ndarray]:
    """Return the lecture's initial weights [features, 1] and bias [1], so that losses can be compared."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(features, 1)
    return [layer.weight.detach().numpy().T, layer.bias.detach().numpy()]


def main() -> None:
    """Train and report."""
    parser = job.parser(__doc__)
    parser.add_argument(
        "--steps-per-execution", type=int, default=1, help="an epoch has one step, so more gains nothing"
    )
    options = parser.parse_args()
    x, y = job.load(options.data, "train")
    start = lecture_start(x.shape[1], options.seed)
    keras.utils.set_random_seed(options.seed)
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(1, activation="sigmoid")])
    model.set_weights(start)
    model.compile(
        optimizer=keras.optimizers.SGD(options.lr),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=options.steps_per_execution,
    )
    started = time.perf_counter()
    history = model.fit(
        x,
        y,
        batch_size=len(x),
        epochs=options.epochs,
        validation_data=job.load(options.data, "test"),
        callbacks=[keras.callbacks.CSVLogger("history.csv"), keras.callbacks.ModelCheckpoint("last.keras")],
    )
    seconds = time.perf_counter() - started
    job.report("keras", keras.backend.backend(), seconds=seconds, loss=history.history["loss"][-1])


if __name__ == "__main__":
    main()
