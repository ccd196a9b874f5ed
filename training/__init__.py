"""The training program of the bundled backbone: `python -m training --photos PATH --out FOLDER`.

From raw data to the final folder: drawn scenes are rendered (`drawings`), photographs read (`photos`), the
convolutional tower is trained alone (`tower`), then the whole language-and-image model on packed questions
(`questions`, `packing`, `lmm`); the weights are written in hub layout (`export`) and measured (`abilities`).
Nothing here is installed with the library.
"""
