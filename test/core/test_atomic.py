from pathlib import Path

import pytest

from apanet_core.atomic import check_can_be_made


def test_check_can_be_made_writable_path_leaves_no_files(tmp_path):
    check_can_be_made(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_check_can_be_made_unusable_path_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; choose another"):
        check_can_be_made(tmp_path / "file" / "out")
    if Path("/proc/self").is_dir():
        with pytest.raises(OSError, match=r"cannot write into /proc: .*; choose another folder"):
            check_can_be_made(Path("/proc/out"))
