"""Records losses and gradients of distillation, for test_distillation.py.

Of logits timm's, of features torch's smooth L1 loss against a layer norm, as
arXiv:2205.14141 has them, in float64.

Run with torch, torchvision and timm installed (made with timm 1.0.31):
    python make_distillation.py distillation.json
"""

import json
import sys

import torch
from timm.task.distillation import LogitDistillationTask

# Of arXiv:2205.14141, section 3.
BETA = 2.0
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


def of_features() -> dict:
    """Returns features of a teacher and of a student, some far off, and the loss."""
    teacher = 5 * torch.randn(4, 6, dtype=torch.float64) + 3
    student = (2 * torch.randn(4, 6, dtype=torch.float64)).requires_grad_()
    wanted = torch.nn.functional.layer_norm(teacher, (6,), eps=1e-6)
    loss = torch.nn.functional.smooth_l1_loss(student, wanted, beta=BETA)
    loss.backward()
    return {
        "teacher": teacher.tolist(),
        "student": student.tolist(),
        "loss": loss.item(),
        "gradient": student.grad.tolist(),
    }


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
        "features": of_features(),
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
