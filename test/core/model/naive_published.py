"""The published network, written once more from its formulas in the plainest way: dense maps, float64 welcome.

Takes a state dict under the published names. Independent of apanet_core, which it is there to check.
"""

import torch
from torch.nn import functional as F

LEVELS = {"encoder_level1": 4, "encoder_level2": 6, "encoder_level3": 6, "latent": 8}
DECODERS = {"decoder_level3": 6, "decoder_level2": 6, "decoder_level1": 4}
WIDTHS = {"encoder_level1": 32, "encoder_level2": 64, "encoder_level3": 128, "latent": 256}
WIDTHS |= {"decoder_level3": 128, "decoder_level2": 64, "decoder_level1": 64}


def random_state(seed=0, scale=0.15):
    """Every tensor of a checkpoint, randomised: scales, norms and biases included."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"project_in.weight": (32, 3, 3, 3), "project_in.bias": (32,)}
    shapes |= {"project_out.weight": (3, 64, 3, 3), "project_out.bias": (3,)}
    for fine, width in ((1, 32), (2, 64), (3, 128)):
        shapes[f"down{fine}_{fine + 1}.body.0.weight"] = (width // 2, width, 3, 3)
        shapes[f"up{fine + 1}_{fine}.body.0.weight"] = (4 * width, 2 * width, 3, 3)
        if fine > 1:
            shapes |= {
                f"reduce_chan_level{fine}.weight": (width, 2 * width, 1, 1),
                f"reduce_chan_level{fine}.bias": (width,),
            }
    for level, count in (LEVELS | DECODERS).items():
        c = WIDTHS[level]
        for n in range(count):
            s, t = f"{level}.{n}.spatial_block", f"{level}.{n}.stereo_block"
            shapes |= {f"{s}.{x}": (1, c, 1, 1) for x in ("beta", "gamma")}
            shapes |= {f"{s}.{norm}.body.{x}": (c,) for norm in ("norm1", "norm2") for x in ("weight", "bias")}
            shapes |= {f"{s}.attn.EAttentionBlock.mk.weight": (64, c), f"{s}.attn.EAttentionBlock.mv.weight": (c, 64)}
            shapes |= {f"{s}.ffn.project_in.weight": (2 * c, c, 1, 1), f"{s}.ffn.project_in.bias": (2 * c,)}
            shapes |= {f"{s}.ffn.dwconv.weight": (2 * c, 1, 3, 3), f"{s}.ffn.dwconv.bias": (2 * c,)}
            shapes |= {f"{s}.ffn.project_out.weight": (c, c, 1, 1), f"{s}.ffn.project_out.bias": (c,)}
            shapes |= {f"{t}.{x}": (1, c, 1, 1) for x in ("beta", "gamma")}
            shapes |= {f"{t}.{norm}.{x}": (c,) for norm in ("norm_l", "norm_r") for x in ("weight", "bias")}
            for projection in ("l_proj1", "r_proj1", "l_proj2", "r_proj2"):
                shapes |= {f"{t}.{projection}.weight": (c, c, 1, 1), f"{t}.{projection}.bias": (c,)}
    state = {}
    for name, shape in shapes.items():
        fan_in = max(1, int(torch.tensor(shape[1:]).prod())) if len(shape) > 1 and shape[0] > 1 else 1
        state[name] = torch.randn(shape, generator=generator) * (fan_in**-0.5 if fan_in > 1 else scale)
        if name.endswith(("body.weight", "norm_l.weight", "norm_r.weight")):
            state[name] += 1
    return state


def derain(state, left, right, eps):
    """(B, 3, H, W) with H and W multiples of 8 -> the same."""
    x = [F.conv2d(v, state["project_in.weight"], state["project_in.bias"], padding=1) for v in (left, right)]
    skips = []
    for number, (level, count) in enumerate(LEVELS.items(), start=1):
        for n in range(count):
            x = _block(state, f"{level}.{n}", x, eps)
        if level != "latent":
            skips.append(x)
            weight = state[f"down{number}_{number + 1}.body.0.weight"]
            x = [F.pixel_unshuffle(F.conv2d(v, weight, padding=1), 2) for v in x]
    for number, (level, count) in zip((3, 2, 1), DECODERS.items()):
        weight = state[f"up{number + 1}_{number}.body.0.weight"]
        x = [F.pixel_shuffle(F.conv2d(v, weight, padding=1), 2) for v in x]
        x = [torch.cat(pair, dim=1) for pair in zip(x, skips.pop())]
        if number > 1:
            x = [
                F.conv2d(v, state[f"reduce_chan_level{number}.weight"], state[f"reduce_chan_level{number}.bias"])
                for v in x
            ]
        for n in range(count):
            x = _block(state, f"{level}.{n}", x, eps)
    out = [F.conv2d(v, state["project_out.weight"], state["project_out.bias"], padding=1) for v in x]
    return left + out[0], right + out[1]


def _norm(x, weight, bias, eps):
    centred = x - x.mean(1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(1, keepdim=True) + eps) * weight[:, None, None] + bias[:, None, None]


def _block(state, name, views, eps):
    def get(suffix):
        return state[f"{name}.{suffix}"]

    external = []
    for x in views:
        batch, channels, height, width = x.shape
        normed = _norm(x, get("spatial_block.norm1.body.weight"), get("spatial_block.norm1.body.bias"), 1e-5)
        tokens = normed.flatten(2).transpose(1, 2)
        a = (tokens @ get("spatial_block.attn.EAttentionBlock.mk.weight").T).softmax(dim=1)
        a = a / (eps + a.sum(dim=2, keepdim=True))
        read = (a @ get("spatial_block.attn.EAttentionBlock.mv.weight").T).transpose(1, 2)
        x = x + get("spatial_block.beta") * read.reshape(batch, channels, height, width)
        y = _norm(x, get("spatial_block.norm2.body.weight"), get("spatial_block.norm2.body.bias"), 1e-5)
        y = F.conv2d(y, get("spatial_block.ffn.project_in.weight"), get("spatial_block.ffn.project_in.bias"))
        y = F.conv2d(
            y,
            get("spatial_block.ffn.dwconv.weight"),
            get("spatial_block.ffn.dwconv.bias"),
            padding=1,
            groups=2 * channels,
        )
        y = F.gelu(y[:, :channels]) * y[:, channels:]
        y = F.conv2d(y, get("spatial_block.ffn.project_out.weight"), get("spatial_block.ffn.project_out.bias"))
        external.append(x + get("spatial_block.gamma") * y)
    left, right = external

    def project(x, projection):
        return F.conv2d(x, get(f"stereo_block.{projection}.weight"), get(f"stereo_block.{projection}.bias")).permute(
            0, 2, 3, 1
        )

    query = project(_norm(left, get("stereo_block.norm_l.weight"), get("stereo_block.norm_l.bias"), 1e-6), "l_proj1")
    key = project(_norm(right, get("stereo_block.norm_r.weight"), get("stereo_block.norm_r.bias"), 1e-6), "r_proj1")
    logits = query @ key.transpose(2, 3) / left.shape[1] ** 0.5  # (B, H, W, W)
    column = torch.arange(left.shape[3])
    logits = logits.masked_fill(column[None, :] > column[:, None], float("-inf"))
    from_right = logits.softmax(-1) @ project(right, "r_proj2")
    from_left = logits.transpose(2, 3).softmax(-1) @ project(left, "l_proj2")
    return [
        left + get("stereo_block.beta") * from_right.permute(0, 3, 1, 2),
        right + get("stereo_block.gamma") * from_left.permute(0, 3, 1, 2),
    ]
