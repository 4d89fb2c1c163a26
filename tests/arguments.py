"""Arguments of small commands."""

SMALL = [
    "--data", "synthetic:classes=3,size=8", "--batch-size", "12", "--set", "nasbench201.widths=4,8",
    "--set", "nasbench201.repeats=1",
]  # fmt: skip
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
