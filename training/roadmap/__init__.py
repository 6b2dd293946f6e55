"""The paper's steps from ResNet to ConvNeXt, trained and drawn."""
