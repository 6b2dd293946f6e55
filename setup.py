"""Describes the distribution ``keras-convnext``.

In a checkout the two applications are the top-level packages ``training`` and
``export``. Those names are too general for site-packages, where two distributions
that both ship a ``training`` overwrite each other without a word, so the wheel maps
them to ``keras_convnext.training`` and ``keras_convnext.export`` and installs nothing
but ``keras_convnext``.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
APPLICATIONS = ("training", "export")

# Why each is needed, and why from this version on: docs/dependencies.md.
RUN_TIME = [
    "absl-py>=2.1",
    "ai-edge-litert>=2.0.2",
    "filelock>=3.16",
    "flatbuffers>=25.12.19",
    "fsspec>=2025.2",
    "h5py>=3.11",
    "hotcoco>=1.3",
    "huggingface_hub>=0.26",
    "importlib_resources>=6.4",
    "keras>=3.10",
    "matplotlib>=3.10",
    "ml_dtypes>=0.5.1",
    "numpy>=2.0",
    "Pillow>=11.0",
    "safetensors>=0.4.5",
    "tensorflow>=2.20",
    "tensorflow-datasets>=4.9.7",
    "tqdm>=4.66",
]

DEMO = ["scikit-learn>=1.5.1"]
TENSORBOARD = ["tensorboard>=2.20"]
SERVE = [
    "grpcio>=1.71",
    "prometheus_client>=0.21",
    "starlette>=0.41",
    "tensorflow-serving-api>=2.20",
    "uvicorn>=0.32",
]

OPENVINO = ["nncf>=3.4", "openvino>=2026.4"]
ONNX = ["onnx>=1.23", "onnxruntime>=1.32", "tf2onnx>=1.17"]

EXTRAS = {
    # The same distribution with NVIDIA's libraries beside it, so that going from CPU
    # to GPU never installs one tensorflow over another.
    "gpu": ["tensorflow[and-cuda]>=2.20"],
    # scikit-learn carries the images of `--data=digits`.
    "demo": DEMO,
    "tensorboard": TENSORBOARD,
    # Pillow's plugin for what telephones write.
    "heif": ["pillow-heif>=0.22"],
    # Frames of videos and cameras, for `keras-convnext-predict`.
    "video": ["opencv-python-headless>=4.13"],
    # What `keras-convnext-embed --index` writes.
    "search": ["usearch>=2.26"],
    # What `--log_to` sends figures by.
    "wandb": ["wandb>=0.19"],
    "mlflow": ["mlflow>=3.0"],
    # What `keras-convnext-serve` answers with.
    "serve": SERVE,
    "jax": ["jax>=0.5"],
    # Apart from `test`, because it asks for a newer Keras than the rest.
    "hub": ["keras-hub>=0.32"],
    "tuner": ["keras-tuner>=1.4.8"],
    # Other people's ConvNeXts, for `make parity`.
    "parity": [
        "segmentation-models-pytorch>=0.6",
        "timm>=1.0.31",
        "torch>=2.13",
        "torchvision>=0.28",
        "transformers>=5.23",
    ],
    # What `--format=openvino` and `--format=onnx` are written and run with.
    "openvino": OPENVINO,
    "onnx": ONNX,
    # Other runtimes for exported files, for `make interop`.
    "interop": [
        *ONNX,
        *OPENVINO,
        "pytest>=8.4",
        "pytest-timeout>=2.3.1",
        "tflite-micro>=0.dev20261023182759",
    ],
    "test": [
        *DEMO,
        *TENSORBOARD,
        "build>=1.2.1",
        "jax>=0.5",
        # The reference of COCO's figures and masks.
        "pycocotools>=2.0.8",
        "pytest>=8.4",
        "pytest-cov>=6.0",
        "pytest-timeout>=2.3.1",
        "pytest-xdist>=3.6.1",
        "PyYAML>=6.0.3",
        "requests>=2.34.2",
        "setuptools>=77.0.1",
        "wheel>=0.45",
    ],
    "lint": ["mypy>=1.13", "ruff>=0.8"],
}

CONSOLE_SCRIPTS = {
    "keras-convnext-train": "training.main",
    "keras-convnext-evaluate": "training.evaluate_main",
    "keras-convnext-predict": "training.predict_main",
    "keras-convnext-calibrate": "training.calibrate_main",
    "keras-convnext-embed": "training.embed_main",
    "keras-convnext-explain": "training.explain_main",
    "keras-convnext-preview": "training.preview_main",
    "keras-convnext-average": "training.average_main",
    "keras-convnext-compare": "training.compare_main",
    "keras-convnext-cross-validate": "training.cross_validate_main",
    "keras-convnext-sweep": "training.sweep_main",
    "keras-convnext-export": "export.main",
    "keras-convnext-convert": "export.convert_main",
    "keras-convnext-serve": "export.serve_main",
}


def version() -> str:
    """The version that ``keras_convnext/__init__.py`` states, without importing it."""
    source = (HERE / "keras_convnext" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE).group(1)


packages = find_packages(include=["keras_convnext", "keras_convnext.*"])
for application in APPLICATIONS:
    packages += [
        f"keras_convnext.{package}"
        for package in find_packages(include=[application, f"{application}.*"])
    ]

setup(
    name="keras-convnext",
    version=version(),
    description="ConvNeXt in Keras: models, training and export.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=packages,
    package_dir={f"keras_convnext.{name}": name for name in APPLICATIONS},
    # The tables, class names and page templates that lie beside the code.
    package_data={
        "": [
            f"**/*.{kind}"
            for kind in ("csv", "html", "js", "json", "txt", "xz", "typed")
        ],
        "keras_convnext.export": ["server/deploy/**/*"],
    },
    install_requires=RUN_TIME,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            f"{command} = keras_convnext.{module}:run"
            for command, module in CONSOLE_SCRIPTS.items()
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
