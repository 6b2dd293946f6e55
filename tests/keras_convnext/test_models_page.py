"""docs/models.md names the layers that there are."""

import pathlib
import re
from dataclasses import replace

from keras_convnext.models import build, layers_by_name
from keras_convnext.variants import VARIANTS

ROOT = pathlib.Path(__file__).parents[2]
# Together these have every layer there is.
SHOWN = {
    "convnext_atto": {"dropout_rate": 0.1},
    "convnext_zepto_rms_ols": {},
    "convnext_large_mlp": {},
    "convnextv2_atto": {},
    "convnext_isotropic_small": {},
}


def narrow_layers(name, arguments):
    variant = VARIANTS[name]
    stages = len(variant.depths)
    variant = replace(variant, depths=(1,) * stages, widths=(4, 8, 12, 16)[:stages])
    model = build(variant, input_shape=(32, 32, 3), classes=3, **arguments)
    return layers_by_name(model)


def test_every_layer_is_in_the_table_of_names_with_its_variables():
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    section = page.partition("## Layer names")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE)
    documented = {}
    for names, variables in rows:
        for name in re.findall(r"`(.*?)`", names):
            pattern = name.replace("{s}", r"\d+").replace("{b}", r"\d+")
            documented[pattern] = set(re.findall(r"`(.*?)`", variables))
    assert len(documented) == 24
    met = set()
    for variant, arguments in SHOWN.items():
        for name, layer in narrow_layers(variant, arguments).items():
            if not name.startswith("input_layer"):
                matching = [p for p in documented if re.fullmatch(p, name)]
                assert len(matching) == 1, name
                met.add(matching[0])
                variables = {v.name for v in layer.trainable_variables}
                assert variables <= documented[matching[0]], name
    assert met == set(documented)
