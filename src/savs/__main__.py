"""``python -m savs`` is the ``savs`` command."""

from __future__ import annotations

from savs.cli.main import main

if __name__ == "__main__":
    main()
