"""Scores for a store."""

import nas
from nas.store import store

OPTIONS = {"data": "synthetic:classes=3,size=8", "batch_size": 12}
SETTINGS = {"nasbench201": {"widths": (4, 8), "repeats": 1}}
CELLS = ["|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|", "0", "7"]


def score(file, **changes):
    given = OPTIONS | {"settings": SETTINGS, "store": file} | changes
    return nas.score("nasbench201", given.pop("archs", CELLS), given.pop("proxies", "gradsign"), **given)


KEY = store.as_text({name: kind() for name, kind in store.FIELDS.items()} | {"space": "nasbench201", "proxy": "params"})
