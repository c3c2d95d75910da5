"""What holds for the whole suite."""

from __future__ import annotations

import hypothesis

pytest_plugins = ["isolation", "skipped"]

# Examples are slow or quick by what else the machine does; that is no property of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
