"""Options of `apanet derain-bag` and `apanet cut-dataset`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BagSettings:
    """Options for deraining recordings.

    Args:
        left_topic: Image or CompressedImage topic of the left camera, rectified.
        right_topic: Image or CompressedImage topic of the right camera, rectified.
        tolerance_s: largest stamp difference within a pair, in seconds; 0: stamps must be equal.
        keep_original: keep the rainy images, and add the clean ones under derained/, the names that the node uses.
        jpeg_quality: JPEG quality, 1 to 100, of clean images whose input is JPEG.
        segment_pairs: pairs in a file of the clean recording.
    """

    left_topic: str = "left/image_rect"
    right_topic: str = "right/image_rect"
    tolerance_s: float = 0.0
    keep_original: bool = False
    jpeg_quality: int = 95
    segment_pairs: int = 2000

    def __post_init__(self) -> None:
        _check_topics(self.left_topic, self.right_topic)
        if self.tolerance_s < 0 or not 1 <= self.jpeg_quality <= 100 or self.segment_pairs < 1:
            raise ValueError(
                "tolerance_s must be >= 0, jpeg_quality 1 to 100, segment_pairs >= 1: got "
                f"{self.tolerance_s}, {self.jpeg_quality}, {self.segment_pairs}"
            )


@dataclass(frozen=True)
class CutSettings:
    """Options for selecting pairs of a recording.

    Args:
        left_topic: Image or CompressedImage topic of the left camera, rectified.
        right_topic: Image or CompressedImage topic of the right camera, rectified.
        tolerance_s: largest stamp difference within a pair, in seconds; 0: stamps must be equal.
        clip_s: longest clip, in seconds.
        gap_s: a pause longer than this, in seconds, ends a clip.
        blur_below: drop pairs less sharp than this share of their clip's median.
        duplicate_below: drop pairs whose mean difference from the last kept one is below this, in grey levels.
        validation_share: share of the clips that go to val/.
    """

    left_topic: str
    right_topic: str
    tolerance_s: float = 0.0
    clip_s: float = 10.0
    gap_s: float = 1.0
    blur_below: float = 0.5
    duplicate_below: float = 1.5
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        _check_topics(self.left_topic, self.right_topic)
        if self.tolerance_s < 0 or not (self.clip_s > 0 and self.gap_s > 0):
            raise ValueError(
                "tolerance_s must be >= 0, clip_s and gap_s positive: got "
                f"{self.tolerance_s}, {self.clip_s}, {self.gap_s}"
            )
        if not 0 <= self.blur_below < 1 or self.duplicate_below < 0 or not 0 <= self.validation_share < 1:
            raise ValueError(
                "blur_below and validation_share must be in [0, 1), duplicate_below >= 0: got "
                f"{self.blur_below}, {self.validation_share}, {self.duplicate_below}"
            )


def _check_topics(left: str, right: str) -> None:
    if left == right:
        raise ValueError(f"left_topic and right_topic must be two topics: got {left} twice")
