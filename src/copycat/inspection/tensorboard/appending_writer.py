"""Write summaries by a SummaryWriter that shares the logger's event file."""

from typing import Any

from torch.utils.tensorboard import FileWriter, SummaryWriter

from copycat.inspection.tensorboard.event_file import EventFile


class AppendingWriter(SummaryWriter):
    """Append to a file that is already open, where torch's own writer would create a file and a thread."""

    file_writer: Any
    all_writers: Any

    def __init__(self, folder: str, file: EventFile) -> None:
        """Set the open file, in this folder."""
        self._to = file
        super().__init__(folder)

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            self.file_writer = _AppendingFileWriter(self._to)
            self.all_writers = {self._to.get_logdir(): self.file_writer}
        return self.file_writer


class _AppendingFileWriter(FileWriter):
    def __init__(self, file: EventFile) -> None:
        self.event_writer = file
