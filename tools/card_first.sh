# First call on a card: agreement and throughput of the renderer, then six designs side by side for 75 s.
set -o pipefail
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader; python3 -c "import torch; print(torch.__version__)"
python3 - <<'PY' 2>&1 | tail -20
import time, torch
from pathlib import Path
from apanet_core.rain.batched.photo_atlas import PhotoAtlas, read_photos
from apanet_core.rain.batched.samples import render_samples
photos = read_photos([Path(".card/photos")])
cpu, gpu = PhotoAtlas(photos[:40]), PhotoAtlas(photos[:40], "cuda")
i = torch.arange(24)
a, b = render_samples(cpu, (192, 384), 5, i), render_samples(gpu, (192, 384), 5, i)
for k in a:
    x, y = a[k].float().nan_to_num(-1), b[k].float().nan_to_num(-1).cpu()
    print(k, "differ by more than 1:", f"{((x - y).abs() > 1).float().mean().item():.5%}", "max", (x - y).abs().max().item())
c = render_samples(gpu, (192, 384), 5, i.flip(0))
print("same in another order:", all(torch.equal(c[k].flip(0).nan_to_num(-1), b[k].nan_to_num(-1)) for k in b))
for n in (32, 64, 128):
    for _ in range(2): render_samples(gpu, (192, 384), 5, torch.arange(n))
    torch.cuda.synchronize(); t = time.time()
    for r in range(6): render_samples(gpu, (192, 384), 5, torch.arange(n) + r * n)
    torch.cuda.synchronize(); print("render", n, f"{6 * n / (time.time() - t):.0f} samples/s", f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
PY
t() { python3 -m tools.train_on_card --photos .card/photos --out $OUT --seconds $S --batch 32 --init .card/weights/tiny.safetensors "$@" 2>&1 | grep -v Warning; }
S=12 t --name base --label speed-base --init .card/weights/base.safetensors | tail -3
S=12 t --name tiny --label speed-tiny | tail -2
rm -f $OUT/speed*
export S=75
t --name tiny --label full > $OUT/full.log &
t --name control > $OUT/control.log &
t --name tiny --label nosup --objective '{"matching":0,"disparity":0}' > $OUT/nosup.log &
t --name tiny --label nowarp --change '{"warp":false}' > $OUT/nowarp.log &
t --name tiny --label nomask --change '{"parallax_mask":false,"max_disparity":null}' > $OUT/nomask.log &
t --name tiny --label both --change '{"parallax_levels":[2,3]}' > $OUT/both.log &
wait
tail -qn 2 $OUT/*.log
mkdir -p $OUT/p; cat $OUT/*.log > $OUT/all.txt; rm $OUT/*.log
