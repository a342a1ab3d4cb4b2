"""Models for other programs: Transformers, llama.cpp, onnxruntime."""
