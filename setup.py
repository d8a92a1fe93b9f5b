"""Package metadata, read by pip and by colcon alike."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "apanet_ros"


def files(folder: str, pattern: str = "*") -> tuple[str, list[str]]:
    """One data_files entry: the files of `folder`, installed under share/."""
    return f"share/{NAME}/{folder}", [str(p) for p in sorted(Path(folder).glob(pattern)) if p.is_file()]


setup(
    name=NAME,
    version="0.1.0",
    description="Removes rain from stereo camera streams: a ROS 2 node and the network under it (APANet)",
    license="Apache-2.0",
    author="APANet-ROS developers",
    maintainer="APANet-ROS developers",
    maintainer_email="maintainers@apanet-ros.example.org",
    packages=find_packages(include=["apanet_core", "apanet_core.*", "apanet_ros", "apanet_ros.*"]),
    package_data={
        "apanet_core": [
            "weights/*",
            "evaluation/report.html",
            "evaluation/report.css",
            "evaluation/report.js",
            "py.typed",
        ],
        "apanet_ros": ["fastdds.xml"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml", "apanet_ros/fastdds.xml"]),
        files("launch"),
        files("config"),
        files("config/training", "*.yaml"),
        files("rviz"),
        files("foxglove"),
        files("security"),
    ],
    python_requires=">=3.10",
    install_requires=[
        "setuptools",
        "numpy>=1.24",
        "torch>=2.4,<2.14",  # tested with 2.11 on a card and 2.13 on a CPU
        "opencv-python>=4.5.4",
        "safetensors>=0.4",
        "simplejpeg>=1.7",  # says where a JPEG is damaged
        "tqdm>=4.57",
        "jsonargparse>=4.49",
        "docstring-parser-fork>=0.0.12",  # jsonargparse reads help texts with it; pydoclint needs this fork
    ],
    extras_require={
        # fastest on a CPU
        "openvino": ["openvino>=2025.0"],
        "onnx": ["onnx>=1.16", "onnxscript>=0.5"],  # to export
        # ROS 2 from wheels, where no ROS distribution is installed
        "ros": [
            "ros-rclpy[fastrtps]>=9.1",
            "ros-sensor-msgs",
            "ros-stereo-msgs",
            "ros-diagnostic-msgs",
            "ros-std-msgs",
            "ros-std-srvs",
            "ros-lifecycle-msgs",
        ],
        "bags": ["rosbags>=0.11"],
        "train": ["lightning-fabric>=2.6", "tensorboard>=2.15", "torchmetrics>=1.4"],
        "evaluate": ["torchmetrics>=1.4"],
        "cluster": ["distributed>=2024.8"],
        "demo": ["scikit-image>=0.22", "torchmetrics>=1.4"],
        "dev": [
            "hypothesis>=6.100",
            "mypy>=1.13",
            "onnxruntime>=1.18",  # runs what is exported
            "pydoclint>=0.5",
            "pytest>=8.0",
            "pytest-xdist>=3.5",
            "ruff>=0.8",
            "selenium>=4.20",  # drives the report in Chromium, where one is installed
        ],
    },
    entry_points={
        "console_scripts": [
            "apanet = apanet_core.commands.program:main",
            "derain_node = apanet_ros.program:main",
        ],
    },
    zip_safe=False,
)
