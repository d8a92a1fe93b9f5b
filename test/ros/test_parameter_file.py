import pytest

from apanet_ros.parameter_file import parameters_of

FILES = {
    "": {},
    "/**: {ros__parameters: {approximate_sync: true}}": {"approximate_sync": True},
    "/stereo/derain: {ros__parameters: {tolerance_s: 0.02}}": {"tolerance_s": 0.02},
    "/*/derain: {ros__parameters: {tolerance_s: 0.02}}": {"tolerance_s": 0.02},
    "stereo: {derain: {ros__parameters: {approximate_sync: true}}}": {"approximate_sync": True},
    "/**/derain: {ros__parameters: {lazy: true}}": {"lazy": True},
    "/**/stereo/derain: {ros__parameters: {lazy: true}}": {"lazy": True},
    "/**: {stereo: {derain: {ros__parameters: {lazy: true}}}}": {"lazy": True},
    "/**: {ros__parameters: }": {},
    "derain: {ros__parameters: {approximate_sync: true}}": {},  # a node without a namespace
    "/rear/derain: {ros__parameters: {approximate_sync: true}}": {},
    "/**: {ros__parameters: {lazy: true, model: small}}\n/stereo/derain: {ros__parameters: {lazy: false}}": {
        "lazy": False,
        "model": "small",
    },
}


@pytest.mark.parametrize("text", FILES)
def test_matching_sections_are_merged(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert parameters_of("/stereo/derain", tmp_path / "params.yaml") == FILES[text]
