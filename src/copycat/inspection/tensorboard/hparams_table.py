"""The HParams tab of `copycat board`: columns for what differs between the runs, and the important metrics first.

TensorBoard's own tab has a column for each hyper-parameter, whether it differs or not, and sorts metrics by name. An
experiment summary in an event file could declare other columns, but TensorBoard reads the first one alone, while runs
with other hyper-parameters may begin later.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from operator import itemgetter
from typing import Any

from tensorboard.default import get_plugins
from tensorboard.plugins.base_plugin import TBContext, TBLoader
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin

KINDS = ("val", "best/val", "train", "best/train", "final/val", "final/train", "final/test")
"""Kinds of metrics, in the order of their columns. Other scalars, such as times and norms, have no column."""
TITLES = {"best": "{} (best epoch)", "final": "{} (final weights)"}
PRIMARY = ("loss", "accuracy")
"""Metrics whose columns come before all others."""


class HParamsTable(TBLoader):  # type: ignore[misc]  # TensorBoard has no types
    """Load TensorBoard's HParams plugin with other columns: `varied` returns the keys that differ between the runs."""

    def __init__(self, varied: Callable[[], Set[str]]) -> None:
        """Set the keys to show."""
        self._varied = varied

    def load(self, context: TBContext) -> HParamsPlugin:
        """Return the plugin."""
        plugin = HParamsPlugin(context)
        plugin._context = _ColumnContext(context, self._varied)
        return plugin


class _ColumnContext(Context):  # type: ignore[misc]
    def __init__(self, context: TBContext, varied: Callable[[], Set[str]]) -> None:
        super().__init__(context)
        self._varied = varied

    def experiment_from_metadata(self, *args: Any, **kwargs: Any) -> api_pb2.Experiment:
        """Return the hyper-parameters and metrics that have a column."""
        experiment = super().experiment_from_metadata(*args, **kwargs)
        return api_pb2.Experiment(
            hparam_infos=select_hparam_infos(experiment.hparam_infos, self._varied()),
            metric_infos=sort_metric_infos(experiment.metric_infos),
        )


def plugins_with_table(table: HParamsTable) -> list[Any]:
    """Return TensorBoard's plugins, with this table in place of its own HParams."""
    return [table if plugin is HParamsPlugin else plugin for plugin in get_plugins()]


def select_hparam_infos(infos: Sequence[api_pb2.HParamInfo], varied: Set[str]) -> list[api_pb2.HParamInfo]:
    """Return the hyper-parameters that differ between the runs, or all where none does."""
    return [info for info in infos if info.differs or info.name in varied] or list(infos)


def sort_metric_infos(infos: Iterable[api_pb2.MetricInfo]) -> list[api_pb2.MetricInfo]:
    """Return the metrics of the training, validation and test part with a title, the important ones first."""
    ranked = []
    for info in infos:
        whole = "/".join(filter(None, (info.name.group, info.name.tag)))
        if kind := next((kind for kind in KINDS if whole.startswith(f"{kind}/")), None):
            metric = whole.removeprefix(f"{kind}/")  # `recall`, or `recall/cat`
            when, _, part = kind.rpartition("/")
            title = TITLES.get(when, "{}").format(f"{part}/{metric}")
            ranked.append(((metric not in PRIMARY, KINDS.index(kind), metric != PRIMARY[0], metric), title, info.name))
    ranked.sort(key=itemgetter(0))
    return [api_pb2.MetricInfo(name=name, display_name=title) for _, title, name in ranked]
