"""How far the gates of the fast engines are from those of the plain network, in float32.

    python analyses/engine_gates.py
    python analyses/engine_gates.py timm/seresnet50 --weights pretrained --engines folded

Weights are freshly drawn unless told otherwise, with BatchNorms as if trained, so that folding them does something.
"""

import argparse

import torch
from torch import nn

import seviz
from seviz.capture.engines import running
from seviz.run.manifest import EngineRecord

MODELS = (
    *("timm/legacy_seresnet18", "timm/efficientnet_b0", "timm/mobilenetv3_small_050", "timm/regnety_002"),
    *("timm/ghostnet_100", "timm/seresnext26d_32x4d", "timm/ecaresnet26t", "timm/ese_vovnet19b_dw"),
    *("torchvision/regnet_y_400mf", "torchvision/mobilenet_v3_small"),
)
TOLERANCE = 1e-5
BATCH = 4


def stir(model: nn.Module) -> None:
    """Give the BatchNorms statistics and weights as training would."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.uniform_(module.weight, 0.8, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="specs")
    parser.add_argument("--engines", nargs="*", default=("folded", "compiled"))
    parser.add_argument("--weights", default="none")
    options = parser.parse_args()
    print("| network | " + " | ".join(options.engines) + f" | within {TOLERANCE:g} |")
    print("|---|" + "---|" * (len(options.engines) + 1))
    for spec in options.models:
        network = seviz.load(spec, weights=options.weights)
        if options.weights == "none":
            stir(network.model)
        images = torch.randn(BATCH, *network.input_size, generator=torch.Generator().manual_seed(2))
        with torch.no_grad(), seviz.capture_gates(network.model, network.blocks) as gates:
            network.model(images)
        furthest = []
        for name in options.engines:
            engine = EngineRecord(
                name=name,
                reason="",
                device="cpu",
                precision="float32",
                batch_size=BATCH,
                threads=torch.get_num_threads(),
                rotate=False,
            )
            size = network.input_size
            with running(network.model, network.blocks, engine, signals=("excitation",), input_size=size) as forward:
                values = forward(list(images)).numpy()[1]
            apart = [abs(values["excitation", block] - gate.numpy()).max() for block, gate in gates.items()]
            furthest.append(float(max(apart)))
        told = "yes" if max(furthest) <= TOLERANCE else "NO"
        print(f"| `{spec}` | {' | '.join(f'{x:.1e}' for x in furthest)} | {told} |", flush=True)


if __name__ == "__main__":
    main()
