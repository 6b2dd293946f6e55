"""Records loss and gradient of timm's distillation, for test_distillation.py.

Run with torch, torchvision and timm installed (made with timm 1.0.31):
    python make_distillation.py distillation.json
"""

import json
import sys

import torch
from timm.task.distillation import LogitDistillationTask

SETTINGS = ((0.5, 2.0), (0.9, 4.0), (0.3, 1.0))


class Fixed(torch.nn.Module):
    """Gives the same logits for every image."""

    def __init__(self, logits):
        super().__init__()
        self.num_classes, self.in_chans = 4, 3
        self.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
        self.logits = torch.nn.Parameter(logits)

    def forward(self, images):
        return self.logits


def main(path: str) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 4), 3 * torch.randn(5, 4)
    labels = torch.tensor([0, 3, 1, 2, 2])
    found = []
    for weight, temperature in SETTINGS:
        model = Fixed(student.clone())
        task = LogitDistillationTask(
            model,
            Fixed(teacher),
            criterion=torch.nn.CrossEntropyLoss(),
            task_loss_weight=1 - weight,
            temperature=temperature,
            verbose=False,
        )
        loss = task(torch.zeros(5, 3, 2, 2), labels)["loss"]
        loss.backward()
        found.append(
            {
                "weight": weight,
                "temperature": temperature,
                "loss": loss.item(),
                "gradient": model.logits.grad.tolist(),
            }
        )
    recorded = {
        "student": student.tolist(),
        "teacher": teacher.tolist(),
        "labels": labels.tolist(),
        "cases": found,
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(recorded, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
