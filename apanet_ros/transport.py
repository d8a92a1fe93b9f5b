"""Fast DDS settings that deliver pairs of large images in time."""

from __future__ import annotations

import os
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds.xml")
USER_SETTINGS = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")


def profile_variable() -> str:
    """Return the environment variable that names the profile; Fast DDS 2 reads only the old name."""
    old = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"


def uses_fast_dds() -> bool:
    """Return whether this process uses Fast DDS, the default middleware."""
    return os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") in (
        "rmw_fastrtps_cpp",
        "rmw_fastrtps_dynamic_cpp",
    )


def large_shared_memory() -> dict[str, str]:
    """Return the environment that gives Fast DDS shared memory for a few image pairs.

    With the built-in transports, one of two images published at once is often delivered a frame late
    (docs/decisions/007-shared-memory.md). Transports or another middleware chosen by the user are kept: the result is
    empty then.
    """
    if not uses_fast_dds() or any(os.environ.get(name) for name in USER_SETTINGS):
        return {}
    if os.environ.get("ROS_LOCALHOST_ONLY") == "1":  # on Humble, a profile with transports would override it
        return {}
    return {profile_variable(): str(PROFILE)}


def prefer_large_shared_memory() -> None:
    """Set `large_shared_memory` for this process; call it before rclpy.init."""
    os.environ.update(large_shared_memory())
