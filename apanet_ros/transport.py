"""Fast DDS settings under which pairs of large images arrive in time."""

from __future__ import annotations

import os
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds.xml")
USER_SETTINGS = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")


def prefer_large_shared_memory() -> None:
    """Give this process Fast DDS's shared memory in the size of image pairs; call it before rclpy.init.

    With the built-in transports, one of two images published at once is often delivered with the next frame only
    (docs/decisions/007-shared-memory.md). Whoever has chosen transports or another middleware keeps them.
    """
    if os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") not in ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp"):
        return
    if any(os.environ.get(name) for name in USER_SETTINGS):
        return
    if os.environ.get("ROS_LOCALHOST_ONLY") == "1":  # on Humble a profile with its own transports would undo it
        return
    old = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")  # Fast DDS 2 knows the old name only
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
