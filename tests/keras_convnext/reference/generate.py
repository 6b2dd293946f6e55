"""Records what other implementations compute, in files beside this one.

Needs PyTorch, timm, transformers and torchvision (`make parity` installs them), and
for Meta's own code two checkouts, see `torch_models`. From the project's root:

    python -m tests.keras_convnext.reference.generate timm transformers torchvision
"""

import argparse
import importlib.metadata

from tests.keras_convnext.reference import recorded, torch_models
from tests.keras_convnext.reference.cases import CASES, ORACLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("oracles", nargs="+", choices=ORACLES)
    parser.add_argument("--source", default="", help="commits of Meta's checkouts")
    arguments = parser.parse_args()
    for oracle in arguments.oracles:
        about = {"torch": importlib.metadata.version("torch")}
        if oracle == "meta":
            about["source"] = arguments.source
        else:
            about[oracle] = importlib.metadata.version(oracle)
        results = {}
        for case in CASES:
            if case.oracle == oracle:
                print(case.key, flush=True)
                results[case.key] = torch_models.outputs(case)
        path = recorded.write(oracle, results, about)
        print(f"{path}: {path.stat().st_size} bytes, {about}")


if __name__ == "__main__":
    main()
