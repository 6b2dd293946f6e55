"""What a person writes who has mypy look at it strictly."""

import keras_convnext
from keras_convnext import roadmap, weights

names: list[str] = keras_convnext.list_variants("*_ols")
model = keras_convnext.ConvNeXtTiny(
    weights=None, input_shape=(None, None, 3), include_top=False, pooling="avg"
)
logits = keras_convnext.create(names[0], classes=10, classifier_activation=None)
report: weights.Report = keras_convnext.load_weights(model, "mine.safetensors")
print(report.parameters + 1, roadmap.design("gelu").depths)
rows: list[list[tuple[str, str, float]]] = keras_convnext.decode_predictions(None)
