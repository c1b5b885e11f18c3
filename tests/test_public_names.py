import subprocess
import sys

import seviz


def test_public_names_are_these() -> None:
    assert set(seviz.__all__) == {
        "Compression",
        "Network",
        "Run",
        "SEBlock",
        "SevizError",
        "__version__",
        "agreement",
        "attribute",
        "capture_gates",
        "channels",
        "cka",
        "collect",
        "compare",
        "confusion",
        "convergence",
        "curve_run",
        "decoding",
        "evaluate",
        "find_se_blocks",
        "fold",
        "fold_run",
        "foldable",
        "force_gates",
        "importance",
        "inner_scores",
        "insert_se",
        "intervene",
        "load",
        "mask",
        "open_run",
        "prune",
        "prune_run",
        "redundancy",
        "remove",
        "results",
        "saturation",
        "save",
        "selectivity",
        "similarity",
        "specificity",
        "wrap",
    }
    assert dir(seviz) == sorted(seviz.__all__)
    for name in seviz.__all__:
        assert getattr(seviz, name).__doc__ or name == "__version__"


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(seviz, "excite")


def test_importing_seviz_and_its_command_loads_nothing_heavy() -> None:
    code = "import sys, seviz, seviz.cli; print(*{'torch', 'timm', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_tables_and_figures_load_no_torch() -> None:
    code = "import sys, seviz, seviz.figures.excitation; seviz.open_run, seviz.specificity; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"pandas", "matplotlib", "seviz.run.store"} <= set(done.stdout.split())
    assert not {"torch", "timm", "torchvision"} & set(done.stdout.split())
