"""Names that people have, and those that only a stranger's file has: each a class, an image or a folder."""

from pathlib import Path

import numpy as np

from seviz.run.store import Run
from seviz.tables.kept import analyse
from tests.made_runs import make_run

NAMES = {
    "dollars": "$x_$y",
    "even dollars": r"$x$ $\alpha$",
    "broken formula": r"$\frac{1}{0$",
    "braces": "{0} {name!r} %s %(x)d 100 %",
    "backslashes": r"C:\new\temp\x1b",
    "underscore": "_nolegend_",
    "script": "<script>alert(1)</script>",
    "closing style": "</style></script>--><b>",
    "entity": "&amp; & &#0;",
    "quotes": '"it\'s" `so`',
    "markdown": "*a* **b** | c | # d ~~e~~ :red[f]",
    "link": "[x](javascript:alert(1)) ![i](http://example.com/x)",
    "rich markup": "[bold red]x[/bold red] [/]",
    "right to left": "دب قطبي",
    "Hebrew with marks": "\u200fדוב\u200f 1 (a)",
    "override": "\u202egnp.tac\u202c \u2066x",
    "escape": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "lines": "one\r\ntwo\nthree\tfour",
    "backspaces": "good\b\b\b\bevil\x07",
    "nul": "nul\x00inside",
    "C1": "a\x9b31mb\x85c",
    "separators": "a\u2028b\u2029c",
    "not UTF-8": "caf\udce9 \udc80",
    "half a pair": "a\ud83db",
    "noncharacter": "a\uffffb",
    "long": "Great_" * 41 + "Dane",
    "one long word": "W" * 250,
    "empty": "",
    "spaces": "   ",
    "emoji": "👩‍👩‍👧 🐻‍❄️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "combining": "Z̸̢͙͎̃́a̷l̶g̵o̴ é",
    "Chinese": "大熊猫",
    "mixed": "abc الدب 大 def",
    "looks alike": "cat",
    "looks alike too": "cat\u200b",
    "number": "007",
    "missing": "nan",
    "comma": 'a,b;"c"|d',
    "formula": "=1+1",
}
"""By what is odd of each."""


def odd_run(path: Path) -> Run:
    """A finished run of which all classes, and the folders of all images, are called so; its tables are computed."""
    random = np.random.default_rng(0)
    names = list(NAMES.values())
    labels = np.repeat(np.arange(len(names)), 3)
    gates = {}
    for block, channels in (("SE_2_1", 4), ("SE_3_1", 5)):
        means = random.uniform(0.2, 0.8, (len(names), channels))
        gates[block] = np.clip(means[labels] + random.normal(0, 0.05, (len(labels), channels)), 0, 1)
    paths = [f"{names[label]}/{k}.png" for k, label in enumerate(labels)]
    run = make_run(path, gates, labels, classes=names, paths=paths, failed=[0, 40])
    list(analyse(run))
    return run
