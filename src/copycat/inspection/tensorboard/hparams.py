"""The summaries that TensorBoard's HParams reads: a run's start and its end.

A third kind selects what is shown, but TensorBoard takes the first one it finds for all runs. Without one it shows the
hyper-parameters and metrics of every run, with filters. TensorBoard's own writers of these need TensorFlow.
"""

from collections.abc import Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

Value = float | str | bool
STATUS = {"success": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}


def session_start(values: Mapping[str, Value]) -> Summary:
    """Make the summary of a run's hyper-parameters."""
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
    """Make the summary of a run's end: `success` or `failed`; TensorBoard has no other status."""
    content = SessionEndInfo(status=STATUS.get(status, api_pb2.STATUS_UNKNOWN))
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=content))


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
