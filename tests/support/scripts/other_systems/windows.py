"""Train, resume, rerun, search and interrupt, in the folder of images that is named."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from commands import call  # type: ignore[import-not-found]


def end_third_epoch() -> None:
    """Send what stands for Ctrl-Break, once the run is at its third epoch."""
    for _ in range(3000):
        for file in Path().glob("endless/default/*/*/metrics.csv"):
            if len(file.read_text().splitlines()) > 3:
                os.kill(os.getpid(), signal.SIGUSR2)
                return
        time.sleep(0.02)


if __name__ == "__main__":  # workers import this file too
    data = ["data=folder", f"data.root={sys.argv[1]}", "data.image_size=8"]
    call("train", *data, "trainer.max_epochs=1", "output_dir=run")
    (run,) = [file.parent for file in Path().glob("run/default/*/*/run.json")]
    print(f"RUN {run}")
    call("resume", run, "trainer.max_epochs=4")
    call("rerun", run)
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "optimizer.lr=interval(0.01,0.1)"]
    call(
        "train",
        "-m",
        *data,
        *search,
        "hydra/launcher=processes",
        "hydra.launcher.workers=1",
        "trainer.max_epochs=2",
        "sweep.folder=sweep",
    )
    threading.Thread(target=end_third_epoch).start()
    call("train", *data, "trainer.max_epochs=1000000", "output_dir=endless", status=130)
    from copycat.inspection.tensorboard.run_names import RunLinks

    Path("names").mkdir()
    links = RunLinks(run, Path("names"))
    links.update()
    links.update()
