"""Artifacts of TensorFlow that nobody can call, and how to save the model so that one can."""

from mlbuffet_tensorflow._artifact import Kind

_REASONS = {
    Kind.WITHOUT_GRAPH: (
        "it is a SavedModel without its file saved_model.pb, which holds the graph; copy the whole folder that the "
        "save wrote, or save the model again"
    ),
    Kind.FROZEN_GRAPH: (
        "it is a frozen graph (a GraphDef alone), which does not say which tensors are its inputs and outputs; name "
        "them and make it a SavedModel: `graph = tf.compat.v1.GraphDef.FromString(open(file, 'rb').read())`; "
        "`function = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=''), [])"
        ".prune({'x': 'x:0'}, {'y': 'y:0'})`; "
        "`tf.saved_model.save(tf.Module(), path, signatures={'serving_default': function})`"
    ),
    Kind.CHECKPOINT: (
        "it is a checkpoint: weights without a graph; build the model as the program that trained it does, and save "
        "all of it: `model = build_model()`; `model.load_weights(checkpoint)`, or "
        "`tf.train.Checkpoint(model=model).restore(checkpoint)` where Keras did not write it; `model.export(path)`, or "
        "`tf.saved_model.save(model, path)`"
    ),
    Kind.ONE_FILE: "it is one file of a SavedModel, which is a folder with several; give the folder that it lies in",
    Kind.MISNAMED_KERAS: (
        "it is a .keras file under another name, and Keras reads it only under its own: rename it so that it ends in "
        ".keras, in small letters"
    ),
    Kind.MISNAMED_HDF5: (
        "it is an HDF5 file of Keras under another name, and Keras reads it only under its own: rename it so that it "
        "ends in .h5, in small letters"
    ),
    Kind.DAMAGED: (
        "it is a SavedModel whose saved_model.pb is empty or damaged: it does not begin as TensorFlow writes it; copy "
        "the whole folder again, or save the model again"
    ),
    Kind.DAMAGED_FILE: (
        "its name is that of a file of Keras or TFLite, and it is empty, cut short or damaged: it is not in that "
        "format; copy it again, or save the model again"
    ),
    Kind.TFLITE: (
        "it is a TFLite file, made for devices, which TensorFlow cannot turn back into a model; serve the model that "
        "it was converted from: `model.export(path)` with Keras, `tf.saved_model.save(model, path)` without, and "
        "`tf.lite.TFLiteConverter.from_saved_model(path)` makes the TFLite file of the same folder"
    ),
}


def unservable(kind: Kind | None) -> str | None:
    """Why an artifact of this kind is not loaded; None where it can be."""
    if kind is None:
        return (
            "it is none of the artifacts that TensorFlow serves: a SavedModel (a folder with a file saved_model.pb), a "
            ".keras or .h5 file with a whole model, or a .zip of one; save the model with model.export(path) or "
            "tf.saved_model.save(model, path), and give the folder"
        )
    return _REASONS.get(kind)
