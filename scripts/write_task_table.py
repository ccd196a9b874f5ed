"""Write the table of all tasks into docs/tasks.md, from the registry.

python scripts/write_task_table.py            write the table
python scripts/write_task_table.py --check    exit with 1 if it is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from savs.tasks import Task, get_task, list_tasks
from savs.tasks.image_sets import ImageSetTask

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tasks.md"
BEGIN = "<!-- The table is written by `python scripts/write_task_table.py`. -->\n"
END = "<!-- End of the table. -->"


def hub(task: Task) -> str:
    """Return where the data of a task are on the hub, with the split of the test items."""
    if isinstance(task, ImageSetTask):
        one = task.image_set
        return "" if one.hub is None else f"`{one.hub}`, {one.splits[1]}"
    return "" if task.hub is None else f"`{task.hub.id}`, {task.hub.split}"


def line(task: Task) -> str:
    """Return the row of a task."""
    names = ", ".join(f"`{alias}`" for alias in task.aliases)
    parts = str(len(task.parts) or "")
    cells = (f"`{task.name}`", names, task.protocol, task.metric, parts, hub(task), task.origin)
    return "| " + " | ".join(cells) + " |"


def table() -> str:
    """Return the table."""
    head = "| task | also called | protocol | metric | parts | hub id, test split | files |"
    rows = [line(get_task(name)) for name in sorted(list_tasks())]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows, ""])


def render(page: str) -> str:
    """Return a page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE} has no place for the table: {BEGIN.strip()} ... {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the table, or compare it."""
    parser = argparse.ArgumentParser(description="Write the table of tasks into docs/tasks.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    page = PAGE.read_text(encoding="utf-8")
    if not parser.parse_args().check:
        PAGE.write_text(render(page), encoding="utf-8")
    elif page != render(page):
        print(f"{PAGE} is out of date; run: python scripts/write_task_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
