import os

import pytest

from apanet_ros.transport import PROFILE, USER_SETTINGS, prefer_large_shared_memory


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (*USER_SETTINGS, "RMW_IMPLEMENTATION", "ROS_DISTRO"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("old", ["humble", "jazzy"])
def test_profile_is_set_in_variable_of_distribution(environment, old):
    prefer_large_shared_memory()
    assert os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] == str(PROFILE)
    environment.delenv("FASTDDS_DEFAULT_PROFILES_FILE")
    environment.setenv("ROS_DISTRO", old)
    prefer_large_shared_memory()
    assert os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(PROFILE)
    assert PROFILE.is_file()


@pytest.mark.parametrize(
    ("name", "value"), [("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA"), ("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")]
)
def test_user_profile_is_kept(environment, name, value):
    environment.setenv(name, value)
    prefer_large_shared_memory()
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ
