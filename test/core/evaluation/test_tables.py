import pytest

from apanet_core.evaluation.tables import best_methods, columns, csv_text, markdown, summarise

TABLE = columns(truth_is_known=True, lpips=True)


def row(name, method, **values):
    return {"name": name, "method": method} | {key: values.get(key) for c in TABLE for key in c.keys}


ROWS = [
    row(
        "x",
        "rainy",
        psnr_rgb_left=20.0,
        psnr_rgb_right=22.0,
        epe_px=3.0,
        wrong_percent=9.0,
        photometric_error=9.0,
        brightness_shift=4.0,
    ),
    row(
        "x",
        "blur",
        psnr_rgb_left=18.0,
        psnr_rgb_right=18.0,
        epe_px=2.0,
        wrong_percent=7.0,
        photometric_error=2.0,
        brightness_shift=1.0,
    ),
    row(
        "x",
        "good",
        psnr_rgb_left=30.0,
        psnr_rgb_right=26.0,
        epe_px=2.0,
        wrong_percent=7.0,
        photometric_error=6.0,
        brightness_shift=-2.0,
    ),
    row("x", "clean", epe_px=0.5, wrong_percent=1.0, photometric_error=5.0),
    row("y", "rainy", psnr_rgb_left=10.0, psnr_rgb_right=12.0),
    row("y", "clean", photometric_error=5.5),
]


def column(key):
    return next(c for c in TABLE if c.key == key)


def test_summarise_ignores_missing_values():
    summary = summarise(ROWS, TABLE)
    assert list(summary) == ["rainy", "blur", "good", "clean"]
    assert summary["rainy"]["psnr_rgb_left"] == 15
    assert summary["rainy"]["epe_px"] == 3
    assert summary["clean"]["psnr_rgb_left"] is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("psnr_rgb", ["good"]),
        ("epe_px", []),
        ("wrong_percent", ["blur", "good"]),  # equal; clean is better and does not compete
        ("photometric_error", ["good"]),  # nearest to clean, not the smallest
        ("brightness_shift", ["blur"]),
        ("lpips", []),
    ],
)
def test_best_methods_follow_column_rule(key, expected):
    assert best_methods(summarise(ROWS, TABLE), column(key)) == expected


def test_markdown_and_csv_format_rows():
    lines = markdown(summarise(ROWS, TABLE), TABLE).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| method | PSNR RGB (dB) |")
    assert lines[4].startswith("| good | **30.00 / 26.00** |")
    assert csv_text(ROWS[-1:], TABLE).splitlines()[1].startswith("y,clean,,")


def test_columns_without_lpips_omit_lpips_column():
    keys = [c.key for c in columns(truth_is_known=False, lpips=False)]
    assert keys == [c.key for c in TABLE if c.key != "lpips"]
    assert "clean pair" in next(c for c in columns(False, False) if c.key == "epe_px").meaning
