"""The summaries that TensorBoard's HParams reads: what is shown, a run's start, its end.

TensorBoard's own writers of them need TensorFlow; torch's can't say that a metric lies in a sub-folder.
"""

from collections.abc import Iterable, Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

Value = float | str | bool
KINDS = {bool: api_pb2.DATA_TYPE_BOOL, str: api_pb2.DATA_TYPE_STRING}
STATUS = {"success": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}


def experiment(values: Mapping[str, Value], metrics: Iterable[tuple[str, str]]) -> Summary:
    """Which hyper-parameters and metrics are shown.

    Args:
        metrics: sub-folder and tag of the scalars of each.
    """
    content = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=KINDS.get(type(value), api_pb2.DATA_TYPE_FLOAT64))
            for name, value in values.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(group=group, tag=tag), display_name=f"{group}/{tag}")
            for group, tag in metrics
        ],
    )
    return _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=content))


def session_start(values: Mapping[str, Value]) -> Summary:
    """A run's hyper-parameters."""
    content = SessionStartInfo()
    for name, value in values.items():
        if isinstance(value, str):
            content.hparams[name].string_value = value
        elif isinstance(value, bool):
            content.hparams[name].bool_value = value
        else:
            content.hparams[name].number_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=content))


def session_end(status: str) -> Summary:
    """How a run ended: `success` or `failed`."""
    content = SessionEndInfo(status=STATUS.get(status, api_pb2.STATUS_UNKNOWN))
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=content))


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
