"""``python -m ds_farm`` and the command ``ds-farm``."""

from ds_farm.cli import main

if __name__ == "__main__":
    main()
