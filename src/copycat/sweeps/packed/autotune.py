"""Measure how many trials train fastest as one pack."""

import copy
import logging
import sys
import time
from collections.abc import Sequence
from typing import TypeVar

import torch

from copycat.sweeps.packed.looped_network import runs_in_turn
from copycat.sweeps.packed.optimizer import JointOptimizer, Trainable
from copycat.sweeps.packed.span import find_span_images
from copycat.sweeps.packed.unlike_network import stack_networks
from copycat.training.components import RunComponents
from copycat.training.lazy_scheduler import LazyScheduler
from copycat.training.system_memory import read_available_bytes

log = logging.getLogger(__name__)
MEMORY_FRACTION = 0.5
"""Fraction of the free memory that a pack may use."""
MAX_STEP_SECONDS = 1.0
"""Seconds per step above which no larger pack is tried."""
FAST_STEP_SECONDS = 0.05
"""Seconds per step up to which larger packs are always accepted: noise of a busy machine is as long."""
STEPS = 3
TOLERANCE = 1.15
FILES_PER_RUN, RESERVED_FILES = 12, 256
"""Files that a run folder keeps open, and files reserved for everything else."""
CPU = torch.device("cpu")


Part = TypeVar("Part")
Candidate = tuple[RunComponents, str]
"""Parts of a trial, and the kind of its chain."""


def choose_pack_size(trials: Sequence[Candidate], *, is_unlike: bool, most: int, device: torch.device) -> int:
    """Return the number of such trials with the shortest step per trial, within memory and open files.

    `most` is at most their number. A step of unlike trials is timed with all together, since a single one says little
    about the others; and trials that run in turn are no faster in one number than in another.
    """
    most = min(most, _max_open_folders())
    if is_unlike or runs_in_turn(trials[0][0].classifier.network, device):
        return _fit(trials, tried=most if is_unlike else torch.get_num_threads(), most=most, device=device)
    seconds_per_trial, size, room = dict[int, float](), 1, 0.0
    while True:
        size = min(size, most)
        if size > max(1, room):
            break
        try:
            room = room or MEMORY_FRACTION * _free_bytes(device) / _estimate_bytes(max(trials, key=_count_weights)[0])
            seconds = min(time_steps(_sample(trials, size), device=device))
            may_skip = size == 1 and most <= room and most * seconds <= 4 * FAST_STEP_SECONDS
            if may_skip and min(time_steps(_sample(trials, most), device=device)) <= FAST_STEP_SECONDS:
                return most  # fast enough, so that sizes between need no measurement
        except Exception as failure:  # of a user's loss, say: training will report it
            log.info("a step of %d trials cannot be timed", size, exc_info=failure)
            if not seconds_per_trial:
                return most
            break
        seconds_per_trial[size] = seconds / size
        log.info("a step of %d trials takes %.2f ms for each", size, 1000 * seconds_per_trial[size])
        slower = seconds > FAST_STEP_SECONDS and seconds_per_trial[size] > 1.5 * min(seconds_per_trial.values())
        if size == most or (size > 1 and seconds > MAX_STEP_SECONDS) or slower:
            break
        size *= 4
    # the largest of those that are about as fast, so that noise does not decide
    best = min(seconds_per_trial.values())
    return max(
        size for size, each in seconds_per_trial.items() if each <= TOLERANCE * best or each * size <= FAST_STEP_SECONDS
    )


def _fit(trials: Sequence[Candidate], *, tried: int, most: int, device: torch.device) -> int:
    """Return the largest number of trials that fit into memory, with a step of about MAX_STEP_SECONDS at most.

    A step takes as many times longer as it has more trials; that of `tried` trials is timed.
    """
    room = MEMORY_FRACTION * _free_bytes(device) / _estimate_bytes(max(trials, key=_count_weights)[0])
    most = max(1, int(min(most, room)))
    tried = min(tried, most)
    try:
        seconds = min(time_steps(_sample(trials, tried), steps=1, device=device))
        if seconds * most > MAX_STEP_SECONDS * tried:  # the first step is a slow one
            seconds = min(time_steps(_sample(trials, tried), device=device))
    except Exception as failure:  # of a user's loss, say: training will report it
        log.info("a step of %d trials cannot be timed", tried, exc_info=failure)
        return most
    log.info("a step of %d trials takes %.2f s", tried, seconds)
    return max(1, min(most, int(MAX_STEP_SECONDS / seconds * tried)))


def split_evenly(trials: Sequence[Part], size: int) -> list[list[Part]]:
    """Split trials into the fewest packs of at most this size, each with the same mixture of unlike trials."""
    count = -(-len(trials) // size)
    return [list(trials[place::count]) for place in range(count)]


def _sample(trials: Sequence[Candidate], size: int) -> list[Candidate]:
    """Return as many trials, evenly spread."""
    return [trials[(2 * number + 1) * len(trials) // (2 * size)] for number in range(size)]


def _count_weights(trial: Candidate) -> int:
    return sum(parameter.numel() for parameter in trial[0].classifier.network.parameters())


def time_steps(trials: Sequence[Candidate], *, steps: int = STEPS, device: torch.device = CPU) -> list[float]:
    """Measure the seconds of each step of copies of these trials; the first of several warms up."""
    (parts, _), kinds = trials[0], [kind for _, kind in trials]
    size, classifier = len(trials), parts.classifier
    networks = [copy.deepcopy(trial.classifier.network) for trial, _ in trials]
    losses = [trial.classifier.loss for trial, _ in trials]
    optimizers = [classifier.make_optimizer(network.parameters()) for network in networks]
    modules, settings = [trial.data for trial, _ in trials], parts.config["trainer"]
    images = find_span_images(modules, optimizers[0], settings, device=device)
    states: list[dict[str, torch.Tensor]] = [{} for _ in networks]
    stack = stack_networks(networks, losses, kinds=kinds, device=device, images=images, states=states)
    schedules = [LazyScheduler(classifier.make_scheduler(optimizer)) for optimizer in optimizers]
    each = zip(networks, optimizers, schedules, kinds, strict=True)
    trained = [Trainable(network, optimizer, schedule, chain_kind=kind) for network, optimizer, schedule, kind in each]
    joint = JointOptimizer(trained, stack, like=classifier.create_optimizer)
    batch = next(parts.data.loader("train", shuffle=parts.data.shuffle).batches(0, 1))  # type: ignore[union-attr]
    shared = not parts.data.shuffle and parts.data.augmentation is None
    image, label = batch["image"], batch["label"]
    if not shared:
        image, label = (torch.stack([tensor] * size) for tensor in (image, label))
    image, label = image.to(device), label.to(device)
    durations = []
    for _ in range(steps):
        clock = time.perf_counter()
        *_, gradients = stack.step(image, label, shared=shared)
        joint.step(gradients)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        durations.append(time.perf_counter() - clock)
    return durations


def _estimate_bytes(parts: RunComponents) -> int:
    """Estimate the bytes of one trial: weights, gradients and two optimizer states, and activations twice."""
    network = copy.deepcopy(parts.classifier.network)  # a forward pass changes BatchNorm statistics
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    batch = next(parts.data.loader("train", shuffle=parts.data.shuffle).batches(0, 1))  # type: ignore[union-attr]
    activations = 0

    def count(*hook_args: object) -> None:
        nonlocal activations
        output = hook_args[-1]
        if isinstance(output, torch.Tensor):
            activations += output.nbytes

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.random.fork_rng(), torch.no_grad():
        network(batch["image"].cpu())  # the batch may be on the device of the previous pack
    for hook in hooks:
        hook.remove()
    own = batch["image"].nbytes if parts.data.shuffle or parts.data.augmentation is not None else 0
    return 4 * weights + 2 * (activations + own)


def _max_open_folders() -> int:
    """Raise the limit of open files, and return the number of run folders that may be open at once."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES_PER_RUN * 512 if hard == resource.RLIM_INFINITY else hard
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # macOS has a lower limit than it says
            wanted = soft
        return max(1, (wanted - RESERVED_FILES) // FILES_PER_RUN)
    return 64


def _free_bytes(device: torch.device) -> float:
    """Return the free bytes of a GPU's memory, else of main memory; infinite if the system does not tell.

    macOS tells the size of main memory alone, and Windows nothing: MAX_STEP_SECONDS and open files limit a pack there.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    available = read_available_bytes()
    return float("inf") if available is None else float(available)
