"""2-D streaks over both views of training samples, drawn for each view on its own."""

from __future__ import annotations

import torch

from apanet_core.rain.batched.counter_random import CounterRandom
from apanet_core.rain.batched.splat import Segments, draw_segments

LAYERS = 4  # largest number of layers
MOST_STREAKS = 4_000  # limit per layer


def add_streaks(views: torch.Tensor, random: CounterRandom, where: torch.Tensor) -> torch.Tensor:
    """Add 2-D streaks, independent in the views: like the benchmarks', soft and wide ones, dark ones.

    Args:
        views: (B, 2, 3, H, W) in [0, 255].
        random: random numbers of the samples.
        where: (B,) bool, the samples to change.

    Returns:
        Views of the same shape.
    """
    batch, _, _, height, width = views.shape
    shape = batch, LAYERS
    soft = random.happens("soft streaks", 0.4)[:, None].expand(shape)
    wide = soft & random.happens("wide streaks", 0.4, LAYERS)
    long = random.log_uniform("streak long", LAYERS, low=10, high=90)
    long_soft = random.log_uniform("soft long", LAYERS, low=8, high=60)
    long_wide = random.log_uniform("wide long", LAYERS, low=40, high=200)
    length = torch.where(wide, long_wide, torch.where(soft, long_soft, long))
    thick = torch.minimum(random.log_uniform("streak thick", LAYERS, low=0.6, high=3.0), length / 10)
    thick_soft = random.log_uniform("soft thick", LAYERS, low=0.6, high=2.5)
    thick_wide = random.log_uniform("wide thick", LAYERS, low=3, high=16)
    thickness = torch.where(wide, thick_wide, torch.where(soft, thick_soft, thick))
    heavy = random.uniform("heavy")[:, None]
    cover = torch.where(
        soft,
        random.uniform("soft cover", LAYERS, low=0.1, high=1.2),
        0.02 + random.uniform("cover", LAYERS) * (0.1 + 0.4 * heavy),
    )
    strength = torch.where(
        wide,
        random.uniform("wide strength", LAYERS, low=0.03, high=0.25),
        torch.where(
            soft,
            random.uniform("soft strength", LAYERS, low=0.04, high=0.4),
            0.06 + random.uniform("strength", LAYERS) * (0.19 + 0.55 * heavy),
        ),
    )
    torrent = torch.where(random.happens("torrent", 0.2), random.uniform("boost", low=1, high=2.5), 1.0)
    strength = strength * torrent[:, None]
    fade = torch.where(soft | random.happens("fade", 0.5)[:, None], random.uniform("fading", LAYERS), 0.0)
    spread = torch.where(random.happens("gusts", 0.5, LAYERS), 15.0, 2.0)
    angle = random.uniform("angle", low=-45, high=45)[:, None] + spread * random.normal("lean", LAYERS)
    layers = 1 + random.integer("layers", LAYERS)
    used = (torch.arange(LAYERS, device=views.device) < layers[:, None]) & where[:, None]

    reach = length / 2 + thickness
    area = (height + 2 * reach) * (width + 2 * reach)
    mean = (cover * area / (length * thickness)).clamp(max=MOST_STREAKS)
    counts = (
        torch.stack(
            [random.count(f"streaks {side} {layer}", mean[:, layer]) for side in range(2) for layer in range(LAYERS)],
            dim=1,
        ).reshape(batch, 2, LAYERS)
        * used[:, None]
    )
    most = int(counts.max())
    if most == 0:
        return views
    alive = (torch.arange(most, device=views.device) < counts[..., None]).flatten().nonzero()[:, 0]
    full = batch, 2, LAYERS, most

    def chosen(value: torch.Tensor) -> torch.Tensor:
        return value.expand(full).flatten()[alive]

    def of_layer(value: torch.Tensor) -> torch.Tensor:
        return chosen(value[:, None, :, None])

    reach_ = of_layer(reach)

    def of_streak(name: str, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        # the number of a streak comes first: it must not depend on `most`, which differs between batches
        return chosen(random.uniform(name, most, 2, LAYERS, low=low, high=high).movedim(1, -1))

    u = of_streak("streak u") * (width + 2 * reach_) - reach_
    v = of_streak("streak v") * (height + 2 * reach_) - reach_
    value = of_layer(strength) * of_streak("streak value", low=0.3)
    lean = torch.deg2rad(of_layer(angle))
    du, dv = of_layer(length) / 2 * lean.sin(), of_layer(length) / 2 * lean.cos()
    image = chosen(torch.arange(2 * batch, device=views.device).reshape(batch, 2, 1, 1))
    infinite = torch.full_like(u, torch.inf)
    is_soft = of_layer(soft.float()) > 0.5
    segments = Segments(
        image, u - du, v - dv, u + du, v + dv, of_layer(thickness), value, infinite, of_layer(fade), is_soft
    )
    layer = draw_segments(segments, torch.zeros(2 * batch, height, width, device=views.device))
    layer = layer.reshape(batch, 2, 1, height, width).clamp(max=1.5)

    # added and clipped, screened (less on bright pixels), or blended as paint, which is dark against a bright sky
    how = random.uniform("blending")[:, None, None, None, None]
    screen = torch.where(how < 0.5, 0.0, torch.where(how < 0.65, 1.0, (how - 0.65) / 0.2)).clamp(max=1)
    added = views + 255 * torch.where(screen > 0, layer.clamp(max=1) * (1 - screen * views / 255), layer)
    paint = random.uniform("paint", 1, 3, 1, 1, low=-0.06, high=0.06) + random.uniform(
        "grey", 1, 1, 1, 1, low=0.45, high=1
    )
    painted = views + layer.clamp(max=0.95) * (255 * paint - views)
    result = torch.where(how > 0.85, painted, added).clamp(0, 255)
    return torch.where(where[:, None, None, None, None], result, views)
