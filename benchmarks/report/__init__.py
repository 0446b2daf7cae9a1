"""Reports of results: tables, JSON files and figures."""

from benchmarks.report.bars import bars_and_training
from benchmarks.report.files import check_writable, only_writer, read_result, write_result
from benchmarks.report.gradient_flow import scores_and_gradient_flow
from benchmarks.report.scores import add_differences, interval, score_text
from benchmarks.report.tables import column_table, curve_table, notes, table, tasksets_table
from benchmarks.report.transfer import transfer_table

__all__ = [
    "add_differences",
    "bars_and_training",
    "check_writable",
    "column_table",
    "curve_table",
    "interval",
    "notes",
    "only_writer",
    "read_result",
    "score_text",
    "scores_and_gradient_flow",
    "table",
    "tasksets_table",
    "transfer_table",
    "write_result",
]
