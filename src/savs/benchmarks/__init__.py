"""`savs benchmark`: tasks, methods and baselines in one resumable run, with a table of the results.

Importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.benchmarks.demo_tasks import DEMO_TASKS
    from savs.benchmarks.published import PublishedResult, published_results
    from savs.benchmarks.results_table import ResultRow, markdown_table, result_rows
    from savs.benchmarks.run_folder import RunFolder
    from savs.benchmarks.runner import BenchmarkSettings, run_benchmark
    from savs.benchmarks.task_data import TaskData, TaskPart, load_task_data, own_task

__all__ = [
    "DEMO_TASKS",
    "BenchmarkSettings",
    "PublishedResult",
    "ResultRow",
    "RunFolder",
    "TaskData",
    "TaskPart",
    "load_task_data",
    "markdown_table",
    "own_task",
    "published_results",
    "result_rows",
    "run_benchmark",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.benchmarks.demo_tasks": ["DEMO_TASKS"],
        "savs.benchmarks.published": ["PublishedResult", "published_results"],
        "savs.benchmarks.results_table": ["ResultRow", "markdown_table", "result_rows"],
        "savs.benchmarks.run_folder": ["RunFolder"],
        "savs.benchmarks.runner": ["BenchmarkSettings", "run_benchmark"],
        "savs.benchmarks.task_data": ["TaskData", "TaskPart", "load_task_data", "own_task"],
    },
)
