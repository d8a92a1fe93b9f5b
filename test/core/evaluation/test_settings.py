import pytest

from apanet_core.evaluation.settings import EvaluationSettings


def test_evaluation_settings_derive_method_names():
    settings = EvaluationSettings(["tiny", "mine=runs/best.safetensors", "runs/other.safetensors"], ["a=x", "b=y=z"])
    assert {name: str(folder) for name, folder in settings.named_outputs.items()} == {"a": "x", "b": "y=z"}
    assert settings.named_models == {
        "tiny": "tiny",
        "mine": "runs/best.safetensors",
        "other": "runs/other.safetensors",
    }


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["folder"], "expected NAME=FOLDER"),
        (["=folder"], "expected NAME=FOLDER"),
        (["a=x", "a=y"], "two methods are named 'a'"),
        (["rainy=x"], "'rainy' is reserved"),
        (["tiny=x"], "a model and an output folder are both named 'tiny'"),
    ],
)
def test_evaluation_settings_bad_names_are_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        EvaluationSettings(outputs=outputs)
