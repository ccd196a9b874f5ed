"""``python -m savs`` is the ``savs`` command."""

from savs.cli.main import main

if __name__ == "__main__":
    main()
