"""The cases of the op goldens, by family. ops.py runs them all."""
