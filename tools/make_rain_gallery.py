"""Write a page of 6x6 training samples with their parameters, to look at before training on them.

Run: .venv/bin/python -m tools.make_rain_gallery --photos FOLDER --out gallery.html
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

import cv2
import numpy as np
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.rain.random_weather import is_night, random_weather
from apanet_core.rain.records import rows_of
from apanet_core.rain.samples import render_samples
from apanet_core.rain.weather import Weather

COUNT, SIZE = 36, (192, 384)
PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>Training samples</title>
<style>body {{ font: 13px sans-serif; background: #222; color: #ddd }}
main {{ display: grid; grid-template-columns: repeat(6, 1fr); gap: 8px }}
figure {{ margin: 0 }} img {{ width: 100%; display: block }}</style>
<p>Above: rainy left and right view. Below: clean left view, disparity (near is bright). Seed {seed}.</p>
<main>{figures}</main>
"""


def caption(weather: Weather, night: torch.Tensor, batch: dict[str, torch.Tensor], index: int) -> str:
    """Return the weather of a sample in words."""
    rain, streaks, glass, sensor = (rows_of(part, torch.tensor([index])) for part in vars(weather).values())
    words = ["night"] if night[index] else []
    if rain.rate_mm_h > 0:
        mist = f", mist {3.9 / rain.mist_per_m.item():.0f} m" if rain.mist_per_m > 0 else ""
        veil = "veil" if rain.veil > 0 else "no veil"
        veil += (", splashes" if rain.splashes > 0 else "") + (", spray" if rain.spray_per_m > 0 else "")
        words.append(f"drops {rain.rate_mm_h.item():.0f} mm/h, {1000 * rain.exposure_s.item():.0f} ms, {veil}{mist}")
    if (streaks.cover > 0).any():
        how = "painted" if streaks.painted > 0 else f"screen {streaks.screen.item():.1f}"
        most = streaks.cover.argmax()
        length, width, strength, cover = (
            part.flatten()[most].item()
            for part in (streaks.length_px, streaks.width_px, streaks.strength, streaks.cover)
        )
        size = f"{length:.0f}x{width:.1f} px, strength {strength:.2f}, cover {cover:.2f}"
        words.append(f"{'soft ' if streaks.soft.any() else ''}streaks of {size}, {how}")
    words += [f"{glass.drops.item():.0f} drops on the glass"] if glass.drops > 0 else []
    words += [f"noise {sensor.noise.item():.1f}"] if sensor.noise > 0 else []
    words += [f"JPEG {sensor.jpeg_quality.item():.0f}"] if sensor.jpeg_quality > 0 else []
    views = {name: batch[name][index] for name in ("rainy_left", "rainy_right", "clean_left", "clean_right")}
    dry = [side for side in ("left", "right") if torch.equal(views[f"rainy_{side}"], views[f"clean_{side}"])]
    words += [f"{dry[0]} view dry"] if len(dry) == 1 else []
    words += ["a view covered"] if batch["left_judged"][index] * batch["right_judged"][index] == 0 else []
    words += ["single image"] if torch.equal(views["clean_left"], views["clean_right"]) else []
    return f"{index}: {', '.join(words) or 'dry'}"


def figure(batch: dict[str, torch.Tensor], index: int, words: str) -> str:
    """Return the HTML of one sample."""
    left, right, clean = (
        batch[name][index].permute(1, 2, 0).numpy() for name in ("rainy_left", "rainy_right", "clean_left")
    )
    disparity = batch["left_disparity"][index].numpy()
    brightness = np.nan_to_num(255 * disparity / max(1.0, float(np.nanmax(np.append(disparity, 0))))).astype(np.uint8)
    lower = np.concatenate([clean, cv2.cvtColor(brightness, cv2.COLOR_GRAY2RGB)], axis=1)
    picture = np.concatenate([np.concatenate([left, right], axis=1), lower])
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    data = base64.b64encode(encoded.tobytes()).decode()
    return f'<figure><img src="data:image/jpeg;base64,{data}"><figcaption>{words}</figcaption></figure>'


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, default=Path("gallery.html"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    atlas = training_atlas(arguments.photos, arguments.seed)
    indices = torch.arange(COUNT)
    batch = render_samples(atlas, SIZE, arguments.seed, indices)
    random = CounterRandom(arguments.seed, indices)
    weather, night = random_weather(random).per_sample(COUNT, indices.device), is_night(random)
    figures = "".join(figure(batch, index, caption(weather, night, batch, index)) for index in range(COUNT))
    arguments.out.write_text(PAGE.format(seed=arguments.seed, figures=figures))
    print(f"{COUNT} samples in {arguments.out}")


if __name__ == "__main__":
    main()
