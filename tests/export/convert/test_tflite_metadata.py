"""What a TFLite file says of itself, read by flatbuffers' own rules alone."""

import struct
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from export.convert import tflite, tflite_metadata
from export.convert.description import Description
from export.convert.precisions import PRECISIONS
from tests.export.conftest import smooth_images

# The fields of metadata_schema.fbs in their order, as MediaPipe publishes it; a union
# has a field for its kind before it.
FIELDS = {
    "ModelMetadata": (
        *("name", "description", "version", "subgraph_metadata", "author"),
        *("license", "associated_files", "min_parser_version"),
    ),
    "SubGraphMetadata": (
        *("name", "description", "input_tensor_metadata", "output_tensor_metadata"),
    ),
    "TensorMetadata": (
        *("name", "description", "dimension_names", "content", "process_units"),
        *("stats", "associated_files"),
    ),
    "Content": ("content_properties_type", "content_properties", "range"),
    "ImageProperties": ("color_space", "default_size"),
    "ImageSize": ("width", "height"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type", "locale", "version"),
}


class Table:
    """A table of a flatbuffer."""

    def __init__(self, contents, place, kind):
        self._contents, self._place, self._kind = contents, place, kind

    def _number(self, form, place):
        return struct.unpack_from(f"<{form}", self._contents, place)[0]

    def _field(self, name):
        slot = FIELDS[self._kind].index(name)
        table = self._place - self._number("i", self._place)
        if 4 + 2 * slot >= self._number("H", table):
            return None
        offset = self._number("H", table + 4 + 2 * slot)
        return self._place + offset if offset else None

    def _target(self, name):
        place = self._field(name)
        return None if place is None else place + self._number("I", place)

    def text(self, name):
        start = self._target(name)
        size = self._number("I", start)
        return self._contents[start + 4 : start + 4 + size].decode()

    def scalar(self, name, form):
        return self._number(form, self._field(name))

    def floats(self, name):
        start = self._target(name)
        count = self._number("I", start)
        return list(struct.unpack_from(f"<{count}f", self._contents, start + 4))

    def table(self, name, kind):
        place = self._target(name)
        return None if place is None else Table(self._contents, place, kind)

    def tables(self, name, kind):
        start = self._target(name)
        if start is None:
            return []
        places = range(start + 4, start + 4 + 4 * self._number("I", start), 4)
        return [
            Table(self._contents, place + self._number("I", place), kind)
            for place in places
        ]


def metadata_of(contents):
    model = schema.Model.GetRootAs(contents)
    entries = [model.Metadata(number) for number in range(model.MetadataLength())]
    (entry,) = [entry for entry in entries if entry.Name() == b"TFLITE_METADATA"]
    written = bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    assert written[4:8] == b"M001"
    return Table(written, struct.unpack_from("<I", written)[0], "ModelMetadata")


DESCRIPTION = Description(
    name="früh",
    description="Probabilities.",
    license="apache-2.0",
    size_px=32,
    image="RGB in 0..255.",
    outputs="Seven classes.",
    labels_name="labels.txt",
)


@pytest.mark.parametrize("name", ["float32", "int8"])
@pytest.mark.slow
def test_a_file_says_what_it_takes_and_gives(name, network):
    images = smooth_images(20)
    plain = tflite.convert(network, PRECISIONS[name], images)
    told = metadata_of(tflite_metadata.with_metadata(plain, DESCRIPTION))
    assert told.text("name") == "früh"
    assert told.text("license") == "apache-2.0"
    assert told.text("min_parser_version") == "1.0.0"
    (graph,) = told.tables("subgraph_metadata", "SubGraphMetadata")
    (image,) = graph.tables("input_tensor_metadata", "TensorMetadata")
    (output,) = graph.tables("output_tensor_metadata", "TensorMetadata")
    content = image.table("content", "Content")
    # ContentProperties.ImageProperties and ColorSpaceType.RGB.
    assert content.scalar("content_properties_type", "B") == 2
    seen = content.table("content_properties", "ImageProperties")
    assert seen.scalar("color_space", "b") == 1
    size = seen.table("default_size", "ImageSize")
    assert (size.scalar("width", "I"), size.scalar("height", "I")) == (32, 32)
    (unit,) = image.tables("process_units", "ProcessUnit")
    assert unit.scalar("options_type", "B") == 1
    options = unit.table("options", "NormalizationOptions")
    # Images in 0..255 go in as they are.
    assert (options.floats("mean"), options.floats("std")) == ([0.0], [1.0])
    limits = image.table("stats", "Stats")
    assert (limits.floats("min"), limits.floats("max")) == ([0.0], [255.0])
    (labels,) = output.tables("associated_files", "AssociatedFile")
    assert labels.text("name") == "labels.txt"
    # AssociatedFileType.TENSOR_AXIS_LABELS.
    assert labels.scalar("type", "b") == 2


def test_the_answers_stay_as_they_were(exact):
    image = smooth_images(1)
    answers = [
        Interpreter(model_content=contents).get_signature_runner()(tensors=image)
        for contents in (exact, tflite_metadata.with_metadata(exact, DESCRIPTION))
    ]
    np.testing.assert_array_equal(*(one["probabilities"] for one in answers))


@pytest.mark.slow
def test_features_have_no_labels(exact):
    description = Description("m", "Features.", "", 32, "RGB.", "Features.", "")
    told = metadata_of(tflite_metadata.with_metadata(exact, description))
    (graph,) = told.tables("subgraph_metadata", "SubGraphMetadata")
    (output,) = graph.tables("output_tensor_metadata", "TensorMetadata")
    assert output.tables("associated_files", "AssociatedFile") == []


def test_an_exported_file_names_the_labels_that_are_packed_in(workdir, out):
    file = out / "model_float32.tflite"
    (graph,) = metadata_of(file.read_bytes()).tables(
        "subgraph_metadata", "SubGraphMetadata"
    )
    (output,) = graph.tables("output_tensor_metadata", "TensorMetadata")
    (labels,) = output.tables("associated_files", "AssociatedFile")
    with zipfile.ZipFile(file) as archive:
        packed = archive.read(labels.text("name"))
    assert packed == (workdir / "labels.txt").read_bytes()
