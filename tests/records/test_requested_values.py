"""Configurations of folds, whose training images decide about some values."""

from copycat.records.requested_values import with_requested_values

SCHEDULE = {"interval": "step", "total_steps": 40, "max_lr": 0.1}


def test_values_of_the_training_images_are_those_that_were_typed() -> None:
    config = {"loss": {"class_weights": [0.8, 1.3]}, "scheduler": {**SCHEDULE, "milestones": [20]}, "data": {"fold": 0}}
    config["normalize"] = {"mean": [0.4], "std": [0.2]}
    words = ["experiment=mine", "scheduler=one_cycle", "loss.class_weights=balanced", "+scheduler.milestones=[0.5]"]
    words += ["normalize=train"]
    assert with_requested_values(config, {"overrides": words}) == {
        "loss.class_weights": "balanced",
        "scheduler.interval": "step",
        "scheduler.total_steps": "experiment=mine scheduler=one_cycle",
        "scheduler.max_lr": 0.1,
        "scheduler.milestones": "[0.5]",
        "data.fold": 0,
        "normalize": "train",
    }


def test_statistics_of_an_experiment_are_those_of_its_name_and_of_what_was_typed_beside_it() -> None:
    config = {"normalize": {"mean": [0.4], "std": [0.2]}}
    words = ["normalize.mean=[0.4]", "experiment=mine"]
    assert with_requested_values(config, {"overrides": words}) == {"normalize": "experiment=mine normalize.mean=[0.4]"}


def test_values_that_no_image_decides_stay() -> None:
    config = {"loss.class_weights": None, "scheduler.interval": "epoch", "scheduler.total_steps": 40}
    assert with_requested_values(config, {"overrides": ["scheduler=one_cycle"]}) == config
