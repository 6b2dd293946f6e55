"""Folding: the deployed form of a model, with the same outputs."""

from keras_convnext._renamed import module_getattr
from keras_convnext.folding._fold import fold, fold_with_reasons, folding_report

__all__ = ["fold", "fold_with_reasons", "folding_report"]

__getattr__ = module_getattr(__name__, {"unfolded": "folding_report"})
