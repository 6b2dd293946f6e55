"""TensorFlow Serving's model configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from .errors import invalid
from .versions import ModelConfig


def read(file: Path) -> list[ModelConfig]:
    """Returns the models that a file names.

    Args:
        file: A `ModelServerConfig` as text. A base path that is not absolute is looked
            for beside the file.

    Raises:
        Refusal: It is not a model configuration, or asks for what is not there.
    """
    try:
        text = file.read_text(encoding="utf-8")
        proto = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except OSError as error:
        raise invalid(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise invalid(f"{file}: {str(error).splitlines()[0]}") from None
    return from_proto(proto, file.parent)


def from_proto(proto: Any, folder: Path | None = None) -> list[ModelConfig]:
    """Returns the models that a configuration names.

    Args:
        proto: A `tensorflow.serving.ModelServerConfig`.
        folder: Where base paths begin that are not absolute; `None` for nowhere, since
            a client does not know where the server was started.

    Raises:
        Refusal: It asks for something that is not there.
    """
    given = proto.model_config_list.config
    if not given:
        raise invalid("The model configuration names no model (model_config_list)")
    configs = [_model(entry, folder) for entry in given]
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"The model configuration names {name} twice")
    return configs


def _model(entry: Any, folder: Path | None) -> ModelConfig:
    if not entry.name:
        raise invalid("A model of the configuration has no name")
    if entry.model_platform not in ("", "tensorflow"):
        raise invalid(
            f"{entry.name}: model_platform is {entry.model_platform}; "
            "it must be tensorflow"
        )
    base_path = Path(entry.base_path)
    if not entry.base_path or (folder is None and not base_path.is_absolute()):
        raise invalid(
            f"Expected model {entry.name} to have an absolute path or URI; got "
            f"base_path()={entry.base_path}"
        )
    base_path = (folder or Path()) / base_path
    if not base_path.is_dir():
        raise invalid(f"{entry.name}: there is no folder {base_path}")
    policy = entry.model_version_policy
    chosen = policy.WhichOneof("policy_choice")
    if chosen == "specific" and not policy.specific.versions:
        raise invalid(f"{entry.name}: the policy `specific` names no versions")
    return ModelConfig(
        name=entry.name,
        base_path=base_path,
        newest={"all": 0, "latest": policy.latest.num_versions or 1}.get(chosen, 1),
        specific=tuple(policy.specific.versions),
        labels=dict(entry.version_labels),
    )
