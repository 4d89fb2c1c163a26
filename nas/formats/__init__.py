"""A network as a file that runs without this project: Python source, a program of ``torch.export``, ONNX."""
