import pytest
import torch
from equal_runs import assert_equal_runs

from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.photos import read_photos
from apanet_core.training.loop import train
from apanet_core.training.rendered import RenderedBatches


@pytest.fixture
def atlas(photos):
    return PhotoAtlas(read_photos([photos]), torch.device("cpu"))


def test_rendered_batches_sample_depends_on_number_only(atlas):
    batches = list(RenderedBatches(atlas, (32, 64), 2, [5, 3, 8, 1, 9], 7, 0.1))
    assert [len(batch["rainy_left"]) for batch in batches] == [2, 2]  # the fifth sample fills no batch
    again = next(iter(RenderedBatches(atlas, (32, 64), 2, [8, 5], 7, 0.1)))
    for name in again:
        torch.testing.assert_close(again[name][0], batches[1][name][0], equal_nan=True)
        torch.testing.assert_close(again[name][1], batches[0][name][0], equal_nan=True)


def test_rendered_batches_single_images_have_equal_views(atlas):
    batch = next(iter(RenderedBatches(atlas, (32, 64), 8, range(8), 7, 1.0)))
    assert (batch["clean_left"] == batch["clean_right"]).all()
    assert (batch["rainy_left"] == batch["rainy_right"]).all()


def test_training_device_renderer_resumed_run_equals_whole_run(config, tmp_path):
    def run(out, **changes):
        made = config(out, steps=8, checkpoint_every=4, validate_every=8, **changes)
        made.data.renderer = "device"
        return made

    train(run(tmp_path / "whole"))

    class Killed(BaseException):
        pass

    def kill(step, *_):
        if step == 6:
            raise Killed
        return learning_rate(step, *_)

    from apanet_core.training.schedule import learning_rate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apanet_core.training.loop.learning_rate", kill)
        with pytest.raises(Killed):
            train(run(tmp_path / "cut"))
    train(run(tmp_path / "cut"))
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_training_renderers_draw_same_samples(config, tmp_path):
    train(config(tmp_path / "workers", steps=4))
    other = config(tmp_path / "device", steps=4)
    other.data.renderer = "device"
    train(other)
    assert_equal_runs(tmp_path / "workers", tmp_path / "device")
