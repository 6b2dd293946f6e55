"""The named builders: `ConvNeXtTiny` and its sisters, made from one table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import keras

from keras_convnext.models import build
from keras_convnext.variants import VARIANTS, Variant

_PUBLIC_NAMES = {
    "convnext_atto": "ConvNeXtAtto",
    "convnext_femto": "ConvNeXtFemto",
    "convnext_pico": "ConvNeXtPico",
    "convnext_nano": "ConvNeXtNano",
    "convnext_tiny": "ConvNeXtTiny",
    "convnext_small": "ConvNeXtSmall",
    "convnext_base": "ConvNeXtBase",
    "convnext_large": "ConvNeXtLarge",
    "convnext_xlarge": "ConvNeXtXLarge",
    "convnext_xxlarge": "ConvNeXtXXLarge",
    "convnextv2_atto": "ConvNeXtV2Atto",
    "convnextv2_femto": "ConvNeXtV2Femto",
    "convnextv2_pico": "ConvNeXtV2Pico",
    "convnextv2_nano": "ConvNeXtV2Nano",
    "convnextv2_tiny": "ConvNeXtV2Tiny",
    "convnextv2_small": "ConvNeXtV2Small",
    "convnextv2_base": "ConvNeXtV2Base",
    "convnextv2_large": "ConvNeXtV2Large",
    "convnextv2_huge": "ConvNeXtV2Huge",
    "convnext_isotropic_small": "ConvNeXtIsotropicSmall",
    "convnext_isotropic_base": "ConvNeXtIsotropicBase",
    "convnext_isotropic_large": "ConvNeXtIsotropicLarge",
}

Arguments = ParamSpec("Arguments")


def _builder(
    make: Callable[Concatenate[Variant, Arguments], keras.Model], variant_name: str
) -> Callable[Arguments, keras.Model]:
    """Returns `make` with the variant filled in and keras.applications' defaults."""
    variant = VARIANTS[variant_name]
    defaults = {"weights": "imagenet", "name": variant_name}
    signature = inspect.signature(make)
    signature = signature.replace(
        parameters=[
            parameter.replace(default=defaults.get(name, parameter.default))
            for name, parameter in signature.parameters.items()
            if name != "variant"
        ]
    )

    def builder(*args: Arguments.args, **kwargs: Arguments.kwargs) -> keras.Model:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{public_name}(): {error}") from None
        bound.apply_defaults()
        return make(variant, *bound.args, **bound.kwargs)

    public_name = _PUBLIC_NAMES[variant_name]
    arguments = (inspect.getdoc(make) or "").partition("Args:\n")[2]
    arguments = arguments.partition("\nExample:\n")[0]
    builder.__signature__ = signature  # type: ignore[attr-defined]
    builder.__name__ = builder.__qualname__ = public_name
    builder.__doc__ = (
        f"Builds {variant_name}: depths {variant.depths}, widths {variant.widths}.\n\n"
        f"{variant.parameters:,} parameters with 1000 classes. Takes what\n"
        "keras.applications.ConvNeXtTiny takes, in the same order, with the same\n"
        "defaults; what comes after `name` is keyword-only.\n\n"
        "Args:\n"
        + arguments.replace(
            "    variant: The row; `dataclasses.replace` makes rows of your own.\n", ""
        )
        + "\nExample:\n"
        "    >>> import keras_convnext\n"
        f"    >>> model = keras_convnext.{public_name}(weights=None, classes=10)\n"
        "    >>> model.output_shape\n"
        "    (None, 10)"
    )
    return builder


ConvNeXtAtto = _builder(build, "convnext_atto")
ConvNeXtFemto = _builder(build, "convnext_femto")
ConvNeXtPico = _builder(build, "convnext_pico")
ConvNeXtNano = _builder(build, "convnext_nano")
ConvNeXtTiny = _builder(build, "convnext_tiny")
ConvNeXtSmall = _builder(build, "convnext_small")
ConvNeXtBase = _builder(build, "convnext_base")
ConvNeXtLarge = _builder(build, "convnext_large")
ConvNeXtXLarge = _builder(build, "convnext_xlarge")
ConvNeXtXXLarge = _builder(build, "convnext_xxlarge")
ConvNeXtV2Atto = _builder(build, "convnextv2_atto")
ConvNeXtV2Femto = _builder(build, "convnextv2_femto")
ConvNeXtV2Pico = _builder(build, "convnextv2_pico")
ConvNeXtV2Nano = _builder(build, "convnextv2_nano")
ConvNeXtV2Tiny = _builder(build, "convnextv2_tiny")
ConvNeXtV2Small = _builder(build, "convnextv2_small")
ConvNeXtV2Base = _builder(build, "convnextv2_base")
ConvNeXtV2Large = _builder(build, "convnextv2_large")
ConvNeXtV2Huge = _builder(build, "convnextv2_huge")
ConvNeXtIsotropicSmall = _builder(build, "convnext_isotropic_small")
ConvNeXtIsotropicBase = _builder(build, "convnext_isotropic_base")
ConvNeXtIsotropicLarge = _builder(build, "convnext_isotropic_large")
