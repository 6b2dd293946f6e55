"""The deployment files have the form that those who read them expect.

Neither tensorflow_model_server nor Docker nor Kubernetes is run: the text files are
read by protocol buffers' own parser, the YAML files by a YAML parser, and what one file
says about another must be so.
"""

from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("tensorflow_serving", reason="needs the extra serve")

from google.protobuf import (  # noqa: E402
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

import export  # noqa: E402

SERVING = Path(export.__file__).parent / "server" / "deploy"


def flags(arguments):
    return dict(argument.removeprefix("--").split("=") for argument in arguments)


@pytest.fixture(scope="module")
def compose():
    text = (SERVING / "docker-compose.yml").read_text()
    return yaml.safe_load(text)["services"]["serving"]


@pytest.fixture(scope="module")
def kubernetes():
    documents = yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def container(kubernetes):
    (container,) = kubernetes["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def test_the_model_configuration_is_one_of_the_servers():
    text = (SERVING / "model.config").read_text()
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = parsed.model_config_list.config
    assert (model.name, model.base_path) == ("convnext", "/models/convnext")
    assert model.model_version_policy.latest.num_versions == 1


def test_the_monitoring_configuration_is_one_of_the_servers():
    # monitoring_config.proto is not in the package: MonitoringConfig has the field
    # prometheus_config, a message of `enable` and `path`.
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", syntax="proto3")
    inner = file.message_type.add(name="PrometheusConfig")
    inner.field.add(
        name="enable", number=1, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL
    )
    inner.field.add(
        name="path", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL
    )
    outer = file.message_type.add(name="MonitoringConfig")
    outer.field.add(
        name="prometheus_config",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".PrometheusConfig",
        label=kinds.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("MonitoringConfig")
    text = (SERVING / "monitoring.config").read_text()
    parsed = text_format.Parse(text, message_factory.GetMessageClass(found)())
    assert parsed.prometheus_config.enable
    assert parsed.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_mounts_every_file_that_it_names(compose):
    mounted = dict(volume.rsplit(":", 2)[:2][::-1] for volume in compose["volumes"])
    named = [v for k, v in flags(compose["command"]).items() if k.endswith("_file")]
    assert len(named) == 3
    for place in named:
        assert (SERVING / mounted[place]).is_file()
    assert mounted["/models/convnext"].endswith("/saved_model")


def test_kubernetes_names_the_files_of_its_config_map(container):
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    named = [
        Path(v) for k, v in flags(container["args"]).items() if k.endswith("_file")
    ]
    assert {place.parent.as_posix() for place in named} <= mounts
    assert all((SERVING / place.name).is_file() for place in named)
    assert "/models/convnext" in mounts


def test_kubernetes_probes_ports_and_paths_that_are_there(kubernetes, container):
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    given = flags(container["args"])
    assert (int(given["port"]), int(given["rest_api_port"])) == (8500, 8501)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        (how,) = container[probe].keys() & {"httpGet", "tcpSocket"}
        assert container[probe][how]["port"] in ports
        if how == "httpGet":
            assert container[probe][how]["path"].startswith("/v1/models/convnext")
    labels = kubernetes["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kubernetes["Service"]["spec"]["selector"].items() <= labels.items()
    targets = {port["targetPort"] for port in kubernetes["Service"]["spec"]["ports"]}
    assert targets == set(ports)
    pod = kubernetes["Deployment"]["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
