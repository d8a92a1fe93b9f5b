"""Remedy for a package that is not installed."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

PIP_NAMES = {  # of packages that pip knows under another name than import
    "cv2": "opencv-python",
    "docstring_parser": "docstring-parser-fork",
    "lightning_fabric": "lightning-fabric",
    "skimage": "scikit-image",
    "torch": "'torch<2.14'",  # as in setup.py
    "yaml": "pyyaml",
}
# Used where a ROS distribution is sourced: OpenCV from pip needs NumPy 2, the cv_bridge up to Kilted NumPy 1.
APT_NAMES = {"cv2": "python3-opencv", "numpy": "python3-numpy", "tqdm": "python3-tqdm", "yaml": "python3-yaml"}


ROS_PACKAGES = (
    *("builtin_interfaces", "cv_bridge", "diagnostic_msgs", "lifecycle_msgs", "message_filters", "rcl_interfaces"),
    *("rclpy", "sensor_msgs", "std_msgs", "std_srvs", "stereo_msgs"),
)


def pip_install(*packages: str) -> str:
    """Return the command that installs packages for the running interpreter."""
    managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists() and sys.prefix == sys.base_prefix
    option = "--break-system-packages " if managed else ""
    return f"{sys.executable} -m pip install {option}{' '.join(packages)}"


def install_hint(error: BaseException) -> str:
    """Say how to install what an import did not find; empty for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package = error.name.partition(".")[0]
    distribution = os.environ.get("ROS_DISTRO")
    if package in ROS_PACKAGES and not distribution:
        return "; source the setup file of a ROS 2 distribution: source /opt/ros/DISTRIBUTION/setup.bash"
    if package in ROS_PACKAGES:
        return f"; install it: sudo apt install ros-{distribution}-{package.replace('_', '-')}"
    if package in APT_NAMES and distribution:
        return f"; install it: sudo apt install {APT_NAMES[package]}"
    return f"; install it for this interpreter: {pip_install(PIP_NAMES.get(package, package))}"


def run_program(name: str, load: Callable[[], Callable[[], int]]) -> int:
    """Import and run a program; say in one line which package is missing.

    Args:
        name: name of the program.
        load: imports its main function and returns it.

    Returns:
        Its exit code, or 2 for a missing package, or 130 after an interrupt during the import.
    """
    try:
        main = load()
    except ModuleNotFoundError as error:
        print(f"{name}: error: {error}{install_hint(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return main()
