"""How much faster a network is with all its SE blocks folded into its weights, beside the original.

    python analyses/benchmarks/folded.py
    python analyses/benchmarks/folded.py --networks timm/regnety_008 --modes eager --batch-sizes 1

Original and result take turns in one process, on random images, channels last in memory; "times as fast" is the ratio
of their times, paired by turn, the median with its interval of 95 %. Beside it the ceiling: the blocks simply taken
out, which is another network, but as fast as one without them can be. The gates that are folded are the means over a
few random images; what they are makes no difference to the time. Saved is the share of the parameters.
"""

import argparse
import json
from collections.abc import Sequence

import pandas as pd
import torch

import seviz
from seviz.compression.folding import fold_to, remove
from seviz.experiments.latency import MODES, latency
from seviz.network.networks import Network

NETWORKS = ("timm/legacy_seresnet50", "timm/efficientnet_b0", "timm/mobilenetv3_large_100", "timm/regnety_008")
IMAGES = 4
"""Whose mean gates are folded."""


def folded(network: Network) -> Network:
    """The network with its gates held at their means over random images, and no SE block."""
    images = torch.randn(IMAGES, *network.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), seviz.capture_gates(network.model, network.blocks) as gates:
        network.model(images)
    return fold_to(network, {name: gate.mean(0).numpy() for name, gate in gates.items()})


def parameters(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.model.parameters())


def measure(spec: str, options: argparse.Namespace) -> pd.DataFrame:
    """The table of one network, with the share of parameters that each is without."""
    original = seviz.load(spec, weights="none")
    networks = {"original": original, "folded": folded(original), "without blocks": remove(original)}
    table = latency(
        networks,
        original.input_size,
        batch_sizes=options.batch_sizes,
        modes=options.modes,
        rounds=options.rounds,
        seconds=options.seconds,
        device=options.device,
    )
    saved = {name: 1 - parameters(network) / parameters(original) for name, network in networks.items()}
    return table.assign(model=spec, parameters_saved=table["network"].map(saved))


def times(rows: pd.DataFrame, network: str) -> str:
    """Ratio and interval; a dash where the network could not be measured."""
    own = rows[rows["network"] == network]
    if own.empty:
        return "–"
    row = own.iloc[0]
    return f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="specs")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=(1, 16))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each")
    parser.add_argument("--seconds", type=float, default=0.5, help="that a turn takes, at least one pass")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print all columns as JSON")
    options = parser.parse_args(arguments)
    tables = []
    if not options.json:
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.rounds} rounds\n")
        print("| network | mode | batch | original, ms | folded, ms | times as fast | blocks taken out | saved |")
        print("|---|---|---|---|---|---|---|---|")
    for spec in options.networks:
        table = measure(spec, options)
        tables.append(table)
        if options.json:
            continue
        for (mode, batch), rows in table.groupby(["mode", "batch_size"], sort=False):
            ms = {row.network: f"{row.median_ms:.1f}" for row in rows.itertuples()}
            saved = rows.set_index("network")["parameters_saved"].get("folded", float("nan"))
            cells = (ms["original"], ms.get("folded", "–"), times(rows, "folded"), times(rows, "without blocks"))
            print(f"| `{spec}` | {mode} | {batch} | {' | '.join(cells)} | {saved:.1%} |", flush=True)
        for remark in table.attrs["remarks"]:
            print(remark)
    if options.json:
        print(json.dumps(json.loads(pd.concat(tables).to_json(orient="records")), indent=1))


if __name__ == "__main__":
    main()
