import io
import sys

import pytest

from apanet_core import progress


def test_progress_bar_writes_lines_to_log_and_bar_to_terminal(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress.progress_bar(range(3), desc="derain", unit="pair"):
        pass
    lines = log.getvalue().splitlines()
    assert "\r" not in log.getvalue()
    assert lines[-1].startswith("derain: 3 of 3, ")
    assert all(line.startswith("derain: ") for line in lines)

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    for _ in progress.progress_bar(range(3), desc="derain", unit="pair"):
        pass
    assert "100%" in terminal.getvalue()


def test_close_bars_after_error_ends_line(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(ValueError, match="broken"):  # noqa: PT012
        for _ in progress.progress_bar(range(3), desc="derain", unit="pair"):
            raise ValueError("broken")
    progress.close_bars()
    assert terminal.getvalue().endswith("\n")
